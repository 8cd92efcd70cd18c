local weir = require "weir"

return weir.pipeline "rounds" {
  weir.step "ask" {
    agent = "sink", options = { loops = 4 }, input = { seen = { "$.ask.token?" } },
    branch = { cases = { again = "ask", done = "last" } },
  },
  weir.step "last" { agent = "sink", input = { seen = { "$.ask.token" } } },
  output = "$.last.token",
}
