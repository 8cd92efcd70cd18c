--- A long import that may be killed at any moment and goes on where it was: a table of any size is read line by line, a
--- hundred lines are loaded at a time, each row once.
---     weir run load --set path=big.csv      kill it, with any signal
---     weir resume
---     weir workspace list rows/ --scope pipeline:load

local weir = require "weir"

return weir.pipeline "load" {
  doc = "Loads the rows of a table, each once, whatever happens on the way",
  input = { path = "string = pipelines/data/harbour/tides.csv" },
  weir.map "parts" { over = { path = "$.input.path" }, concurrency = 4, tolerate = 0,
    chunk = { agent = "files", options = { mode = "lines", together = 100 }, stream = true },
    weir.step "part" { agent = "load_rows", retry = { attempts = 3 }, input = { text = "$.item.text", line = "$.item.line" } },
  },
  weir.step "report" { agent = "echo", input = { rows = "$.workspace.count" } },
  output = "${report.rows} rows loaded",
}
