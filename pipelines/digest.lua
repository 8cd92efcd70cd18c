--- A digest of a folder of documents: every file read, cut, summarized, the summaries merged, checked
--- by a critic and written as a page whose sentences link to the lines they come from.

local weir = require "weir"

return weir.pipeline "digest" {
  doc = "A digest of the text files below a folder, each sentence linked to its source",
  input = {
    path = "string = .",
    words = { type = "integer", minimum = 1, default = 300 },
    out = "string = digest.md",
    glob = "string = *.{md,txt}",
  },
  weir.step "list" {
    agent = "files", options = { mode = "list", required = true },
    input = { path = "$.input.path", glob = "$.input.glob", exclude = "$.input.out" },
  },
  weir.map "parts" { over = "$.list.files", concurrency = 4, tolerate = "50%",
    weir.step "pieces" { -- a body of its own: the whole text goes when its pieces are there
      weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.item" } },
      weir.step "cut" { agent = "chunk", options = { by = "sections", size = 20000 }, input = "$.text" },
    },
    weir.map "short" { over = "$.pieces.chunks", concurrency = 2,
      weir.step "summary" { agent = "summarize", options = { words = 120 }, input = "$.item" },
      reduce = { agent = "combine", options = { words = 240 } },
    },
  },
  weir.step "merged" {
    agent = "combine", input = { items = "$.parts", words = "$.input.words" },
    critic = { use = "rubric", options = { min_words = 1, coverage = 0.5 }, attempts = 3, otherwise = "accept_best" },
  },
  weir.step "page" {
    agent = "digest_page",
    input = {
      title = "Digest of ${input.path}", out = "$.input.out",
      sentences = "$.merged.sentences", files = "$.list.files", read = "$.parts",
    },
  },
  weir.step "write" {
    agent = "files", options = { mode = "write" }, input = { path = "$.input.out", text = "$.page.text" },
  },
  output = "$.write",
}
