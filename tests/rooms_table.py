"""Write the table of modules in CONTRIBUTING.md: `make rooms`."""

from test_repository import ROOT, TABLE, rooms_table

page = ROOT / "CONTRIBUTING.md"
page.write_text(TABLE.sub(lambda _: rooms_table(), page.read_text()))
