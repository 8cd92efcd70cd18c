local weir = require "weir"

return weir.pipeline "items" {
  weir.step "first" { agent = "sink" },
  weir.map "parts" { over = { 1, 2, 3, 4, 5, 6 }, concurrency = 3,
    weir.step "left" { agent = "sink", input = { seen = { "$.first.token" } } },
    weir.step "right" { agent = "sink", input = { seen = { "$.left.token" } } },
  },
  weir.step "last" { agent = "sink", input = { seen = "$.parts[*].token" } },
  output = "$.last.token",
}
