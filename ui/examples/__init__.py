"""The media behind the example buttons, and the script that made them; `index.tsv` says where they are from."""
