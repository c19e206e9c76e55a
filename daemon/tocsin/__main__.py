"""`python -m tocsin`, and the `tocsin` command."""

from tocsin.cli.main import tocsin


def main() -> None:
    """Run the command line."""
    tocsin()


if __name__ == "__main__":
    main()
