--- A long document, section by section: it is read line by line, split at its headings, and each section is summarized while
--- the splitter still reads. Every channel is bounded, so a slow summary makes the reading wait, and a document of any
--- size needs no more memory than the sections under way.

local weir = require "weir"

return weir.pipeline "sections" {
  doc = "Summarizes the sections of a long document while it is still read",
  input = { path = "string = docs/pipelines.md", words = "integer = 40" },
  weir.group "live" {
    weir.step "lines" { agent = "files", options = { mode = "lines" }, stream = { buffer = 32 }, input = { path = "$.input.path" } },
    weir.step "split" { agent = "split_sections", from = "lines", stream = { buffer = 4 } },
    weir.map "short" { from = "split", concurrency = 4,
      weir.step "summary" { agent = "summarize", options = { markup = "markdown" }, when = "length($.item.text) >= 80",
        input = { text = "$.item.text", words = "$.input.words" } },
      weir.step "entry" { agent = "echo", when = "$.summary.words > 0",
        input = { text = "${item.line}: ${item.title}\n    ${summary.text}" } },
      reduce = { agent = "combine", options = { mode = "concat", separator = "\n" } },
    },
  },
  output = { text = "$.short.text", sections = "$.split.sections" },
}
