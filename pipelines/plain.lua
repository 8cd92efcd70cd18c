--- A draft, said in plain words, moderated: word by word, each step on the words of the one before it while they come.
---     weir serve, then
---     curl -N .../api/runs/ID/stream       as server-sent events; `?rate=5`: five a second at most, nothing is lost
---     curl -X POST .../api/runs/ID/cancel  stops all of it, the model's connection too
--- When the model breaks off and, asked again, says something else, each step goes on from the words that hold.

local weir = require "weir"

local TEXT = "The keeper of the weir utilizes numerous boards to regulate the water. He commences at dawn, and he terminates the "
  .. "work when the river has sufficient depth. Some say that the darn boards are older than the mill. Nevertheless they hold."

return weir.pipeline "plain" {
  doc = "A draft, said in plain words and moderated while it is written",
  input = { text = { type = "string", default = TEXT }, words = "integer = 120" },
  weir.group "live" {
    weir.step "draft" {
      agent = "ask", stream = { buffer = 8 }, retry = { attempts = 3, backoff = "1s" },
      input = { prompt = "In at most ${input.words} words:\n\n${input.text}" },
    },
    weir.step "plain" { agent = "plain_words", from = "draft", stream = { buffer = 8 } },
    weir.step "moderated" { agent = "moderate", from = "plain", stream = { buffer = 8 }, options = { words = { "darn", "dang" } } },
  },
  output = "$.moderated",
}
