"""Simulates clients of a federated training, all at once."""

import asyncio
import sys
from dataclasses import dataclass

ROUNDS = 3
CLIENTS = 4
SECRET_KEY = "abc123"
learning_rate: float = 2 ** -3


@dataclass
class Update:
    client: int
    loss: float


async def client(number, round_number):
    await asyncio.sleep(0.001 * (CLIENTS - number))
    return Update(number, 1 / (number + round_number))


async def shell(command):
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


async def main():
    for number in range(1, ROUNDS + 1):
        updates = await asyncio.gather(*(client(n, number) for n in range(1, CLIENTS + 1)))
        mean = sum(update.loss for update in updates) / len(updates)
        print(f"[round {number}] mean loss: {mean:.4f}, clients: {len(updates)}")
    print(await shell("echo $((1 + 1))"), file=sys.stderr)


asyncio.run(main())
