--- A digest of one document that gets better by itself: after a run, other sizes of chunks, lengths and methods are tried
--- beside those that serve, on documents of which some are held out, and what covers more per word serves from then on.

local weir = require "weir"

return weir.pipeline "tuned" {
  doc = "A short digest of one document, tuned for coverage per word",
  input = { path = "string = docs/durability.md" },
  weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.step "cut" { agent = "chunk", options = { by = "paragraphs", size = 30 }, input = "$.text" },
  weir.map "parts" { over = "$.cut.chunks", concurrency = 4,
    weir.step "short" { agent = "summarize", options = { method = "lead", words = 40 }, input = "$.item" },
    reduce = { agent = "combine", options = { words = 120 } },
  },
  weir.step "measure" {
    agent = "measure", options = { at_least = 0.1 },
    input = { text = "$.parts.text", source = "$.text.text", name = "$.input.path" },
  },
  output = { text = "$.parts.text", coverage = "$.measure.coverage", words = "$.measure.words", score = "$.measure.coverage_per_word" },
  reflect = {
    use = "tune",
    options = { vary = {
      { step = "short", option = "words", values = { 20, 40, 80 } },
      { step = "cut", option = "size", values = { 10, 20, 30, 60 } },
      { step = "short", option = "method", values = { "lead", "textrank", "lexrank" } },
    } },
    metric = "$.output.score", margin = 0.01,
    iterations = 5, patience = 3, approve = "auto",
    protect = { "text", "measure" }, -- what is measured, and by what
    examples = {
      { path = "docs/durability.md" }, { path = "docs/events.md" }, { path = "docs/streaming.md" }, { path = "docs/store.md" },
    },
    limits = { seconds = 300, steps = 20000 },
  },
}
