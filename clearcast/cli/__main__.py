"""`python -m clearcast.cli`, where the program `clearcast` is not on the path."""

from clearcast.cli import main

main()
