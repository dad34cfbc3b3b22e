"""`python -m ui.client`."""

import sys

from ui.client.command import main

sys.exit(main(sys.argv[1:]))
