"""`python -m medprm_hf.cli`: the same as `medprm`."""

from medprm_hf.cli import main

if __name__ == "__main__":
    main()
