"""``python -m stf_mamba``: the command line, also under ``torchrun -m``."""

from stf_mamba.cli.app import main

if __name__ == "__main__":
    main()
