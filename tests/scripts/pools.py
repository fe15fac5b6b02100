"""Workers of every kind, each printing its part."""

import argparse
import concurrent.futures
import multiprocessing
import os
import sys


def square(x):
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--worker-only", type=int, default=os.getpid())
    parser.parse_known_args()
    return x * x


def report(queue, number):
    print(f"worker {number}: loss {number}.5", flush=True)
    queue.put(len(sys.path))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=["fork", "spawn", "forkserver"])
    args = parser.parse_args()
    for method in args.methods:
        context = multiprocessing.get_context(method)
        with context.Pool(args.workers) as pool:
            print(method, pool.map(square, range(6)))
        with concurrent.futures.ProcessPoolExecutor(args.workers, mp_context=context) as executor:
            print(method, sum(executor.map(square, range(10))))
        queue = context.SimpleQueue()
        process = context.Process(target=report, args=(queue, 3))
        process.start()
        process.join()
        print(method, process.exitcode, queue.get() == len(sys.path))
    print(f"final accuracy: {0.75:.2%}")


if __name__ == "__main__":
    main()
