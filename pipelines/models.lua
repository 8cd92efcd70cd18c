--- The gist of each section of a document, by whichever of four models is best at it: three local ones, which need nothing,
--- and the model `remote`, if weir.lua has one:
---     models = { remote = { use = "openai", options = { model = "gpt-5-mini" }, price = { input = 0.25, output = 2 } } }
--- A critic scores each gist by the key terms it keeps. By scores, seconds and money a bandit chooses whom to ask next; when
--- the chosen one fails, the next is asked. `weir models` shows what was measured.

local weir = require "weir"

return weir.pipeline "models" {
  doc = "The gist of each section, by the model that was measured to do it best",
  input = { path = "string = docs/store.md", words = "integer = 30", out = "string = gists.md" },
  weir.step "read" { agent = "markdown_sections", input = { markdown_file = "$.input.path" } },
  weir.map "gists" { over = "$.read.document.sections", concurrency = 1, tolerate = "10%", -- one learns from the one before
    weir.step "gist" {
      agent = "ask", when = "length($.item.text) >= 80",
      model = { candidates = { "local/lead", "local/sumbasic", "local/textrank", "remote?" }, policy = "bandit",
        options = { explore = 0, switches = 60 } },
      input = { prompt = "In at most ${input.words} words:\n\n${item.text}", text = "$.item.text" },
      critic = { use = "rubric", options = { coverage = 1, key_terms = 8 }, attempts = 1, otherwise = "accept_best" },
    },
  },
  weir.step "page" { agent = "combine", options = { mode = "concat" }, input = { items = "$.gists" } },
  weir.step "write" { agent = "files", options = { mode = "write" }, input = { path = "$.input.out", text = "$.page.text" } },
  output = "$.write.path",
}
