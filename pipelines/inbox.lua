--- An inbox: each document that is put into the folder `inbox` of the project is digested as it arrives, into `digests`.
--- A document that is changed is digested again; what could not be read is a dead letter.

local weir = require "weir"

return weir.pipeline "inbox" {
  doc = "Digests each document of a folder as it arrives",
  input = { path = "string", words = { type = "integer", minimum = 1, default = 120 } },
  on = {
    files = { path = "inbox", glob = "*.{md,txt}", settle = "500ms", events = { "create", "modify" } },
    input = { path = "$.event.data.path" },
    key = "$.event.data.path", -- two versions of a document one after the other
  },
  queue = { concurrency = 2, overflow = "wait" },
  weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.step "summary" { agent = "summarize", input = { text = "$.text.text", source = "$.text.path", words = "$.input.words" } },
  weir.step "page" {
    agent = "digest_page",
    input = { title = "Digest of ${input.path}", out = "digests/${input.path}.md", sentences = "$.summary.sentences" },
  },
  weir.step "write" { agent = "files", options = { mode = "write" }, input = { path = "digests/${input.path}.md", text = "$.page.text" } },
  output = "$.write",
}
