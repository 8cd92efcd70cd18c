--- Imports the tables of a folder into one report, and mends itself where that can be done: the source that delivers them is asked
--- again when it does not answer, a table that is separated by semicolons is read so, one that is no table is set aside and the
--- others go on. What is left goes to a person. Offline.

local weir = require "weir"

local RULES = {
  { when = { name = "fetch" }, remedy = "retry", args = { delay = "1s" }, reason = "the source may be busy" },
  { when = { name = "table", message = "and the head has" }, remedy = "parameter", args = { options = { separator = ";" } },
    reason = "commas inside of numbers" },
  { when = { name = "table", code = "invalid" }, remedy = "quarantine", reason = "it is no table" },
}

return weir.pipeline "import" {
  doc = "Imports the tables of a folder, and mends what it can",
  input = {
    path = "string = pipelines/data/shops", out = "string = import.md",
    fetch = { type = "array", items = { type = "string" }, default = weir.list {} }, -- a program that brings them, such as rsync
  },
  supervise = { { use = "thresholds", options = { rules = RULES, attempts = 3, stuck = "10m" } } },
  weir.step "fetch" { agent = "command", when = "$.input.fetch[0]", input = { args = "$.input.fetch" } },
  weir.step "list" { agent = "files", options = { mode = "list", glob = "*.csv", required = true }, input = { path = "$.input.path" } },
  weir.map "pages" { over = "$.list.files", concurrency = 4,
    weir.step "table" { agent = "csv_table", options = { separator = "," }, input = { csv_file = "$.item" } },
    weir.step "page" { agent = "table_page", when = "$.table", options = { rows = 0 }, input = { table = "$.table.table" } },
  },
  weir.step "report" { agent = "join_report", input = { title = "Imported", table_pages = "$.pages[*].table_page", document_pages = {} } },
  weir.step "write" { agent = "files", options = { mode = "write" }, input = { path = "$.input.out", text = "$.report.report" } },
  output = "$.write",
}
