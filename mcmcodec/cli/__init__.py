"""The ``codec`` command: one file per subcommand; nothing here imports torch before there is work to do."""
