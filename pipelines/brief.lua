-- Says in few words what a file is about, in the words of whichever model is set: `weir run brief --model NAME`, the setting
-- `model`, or WEIR_MODEL. Without any it is a local one, which needs nothing.
local weir = require "weir"

return weir.pipeline "brief" {
  doc = "Says in few words what a file is about",
  input = { path = "string = README.md", words = "integer = 60" },
  weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.step "brief" { agent = "ask", stream = true, timeout = "5m",
    options = { system = "You are brief and plain. You add nothing that is not in the text." },
    input = { prompt = "In at most ${input.words} words, what is this text about:\n\n${read.text}" } },
  output = "$.brief.text",
}
