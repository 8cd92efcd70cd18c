--- A summary that is up to date while the text still comes: lines of a file, as they are read, in the place of a feed.
--- Whoever follows the run sees each new summary:
---     weir run running --set path=docs/pipelines.md

local weir = require "weir"

return weir.pipeline "running" {
  doc = "Keeps a summary up to date of a text while it arrives",
  input = { path = "string = docs/store.md" },
  weir.group "live" {
    weir.step "arrives" {
      agent = "files", options = { mode = "lines" }, stream = { buffer = 16 }, input = { path = "$.input.path" },
    },
    weir.step "summary" {
      agent = "running_summary", from = "arrives", stream = { buffer = 1, on_full = "latest" },
      options = { words = 80, every = 300, markup = "markdown" },
    },
  },
  output = { text = "$.summary.text", updates = "$.summary.updates", bytes = "$.summary.bytes" },
}
