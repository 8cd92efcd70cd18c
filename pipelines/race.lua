--- A summary by whoever summarizes best: three local methods and the model that is set race. Whoever is not done after half
--- a minute is stopped, and a judge picks the text that covers most of the source with the fewest words.

local weir = require "weir"

local function by(method)
  return weir.step(method) { agent = "summarize", options = { method = method },
    input = { text = "$.text.text", source = "$.input.path", words = "$.input.words" } }
end

return weir.pipeline "race" {
  doc = "Summaries race, a judge picks the one that covers most",
  input = { path = "string = README.md", words = { type = "integer", minimum = 1, default = 120 } },
  weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.speculate "best" {
    judge = { use = "coverage", options = { key_terms = 40 } }, join = { deadline = "30s" },
    input = { text = "$.text.text", source = "$.input.path" },
    by "textrank", by "lexrank", by "sumbasic",
    weir.step "model" { agent = "ask",
      input = { prompt = "In at most ${input.words} words, what is this text about:\n\n${text.text}" } },
  },
  output = "$.best.text",
}
