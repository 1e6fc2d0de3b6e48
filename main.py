"""The one entry point: parse flags, hand a Config to one command, turn a user's mistake into exit code 2."""

try:
    from histogan_tf.cli.entry import main
except KeyboardInterrupt:
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()
