--- A panel of agents writes one report about a document, in the workspace, side by side. Each group reads one
--- snapshot: the second round sees all that the first one wrote, and nothing of its own. What each changed of the
--- text is merged by lines, so that nobody waits for anybody.
---     weir run panel --set path=docs/architecture.md

local weir = require "weir"

local function section(name, heading, input)
  input.report, input.heading = "report", heading
  return weir.step(name) { agent = "report_section", input = input }
end

return weir.pipeline "panel" {
  doc = "A report about a document, written by several agents at once",
  input = { path = "string = README.md", out = "string = panel.md", words = "integer = 90" },
  weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.step "outline" {
    agent = "report_outline",
    input = { report = "report", title = "About ${input.path}",
      headings = weir.list { "In short", "Terms", "Words", "Numbers", "Method" } },
  },
  weir.group "look" {
    weir.step "short" { agent = "summarize", input = { text = "$.read.text", source = "$.input.path", words = "$.input.words" } },
    weir.step "terms" { agent = "keywords", options = { method = "rake", limit = 12 },
      input = { text = "$.read.text", source = "$.input.path" } },
    weir.step "words" { agent = "tally", options = { min_length = 5, table = true, top = 8 }, input = { text = "$.read.text" } },
  },
  weir.group "panel" {
    section("write_short", "In short", { text = "$.short.text" }),
    section("write_terms", "Terms", { items = "$.terms.keywords" }),
    section("write_words", "Words", { text = "```text\n${words.text}```" }),
  },
  weir.step "length" { agent = "tally", input = { text = "$.workspace.report" } }, -- of what the panel wrote
  weir.group "second_round" {
    section("write_numbers", "Numbers", { text = "The document has ${words.words} words of five letters or more, of which "
      .. "${words.distinct} differ. The panel said it in ${length.words} words." }),
    section("write_method", "Method", { text = "The summary has ${write_short.words} words and was taken from the text as it stands; "
      .. "the terms are those that a keyword search found." }),
  },
  weir.step "page" {
    agent = "files", options = { mode = "write" }, input = { path = "$.input.out", text = "$.workspace.report" },
  },
  output = { file = "$.page.path", bytes = "$.page.bytes" },
}
