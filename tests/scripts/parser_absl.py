from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_float("learning_rate", 0.1, "How fast.", lower_bound=0)
flags.DEFINE_integer("num_steps", 4, "How long.")
flags.DEFINE_enum("optimizer", "sgd", ["sgd", "adam"], "Which.")
flags.DEFINE_list("hidden", ["64", "64"], "Sizes of layers.")
flags.DEFINE_multi_integer("seeds", [1], "For each run.")
flags.DEFINE_bool("use_bias", True, "Whether to add a bias.")
flags.mark_flag_as_required("num_steps")


def main(argv):
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(None)
    for step in range(FLAGS.num_steps):
        logging.info("step: %d, train/loss: %.4f, train/acc: %.3f", step, 1 / (step + 1), step / FLAGS.num_steps)
    print("rest:", argv[1:])


if __name__ == "__main__":
    app.run(main)
