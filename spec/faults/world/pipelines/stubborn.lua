local weir = require "weir"

return weir.pipeline "stubborn" {
  weir.step "first" { agent = "sink", options = { fail = 2 }, retry = { attempts = 4, backoff = "2ms" } },
  weir.step "below" { pipeline = "chain" },
  weir.step "last" {
    agent = "sink", options = { fail = 1 }, retry = { attempts = 2, backoff = "1ms" }, timeout = "20s",
    input = { seen = { "$.first.token", "$.below" } },
  },
  output = "$.last.token",
}
