local weir = require "weir"

return weir.pipeline "chain" {
  weir.step "one" { agent = "sink" },
  weir.step "two" { agent = "sink", input = { seen = { "$.one.token" } } },
  weir.step "three" { agent = "sink", input = { seen = { "$.one.token", "$.two.token" } } },
  weir.step "rest" { sleep = "5ms" },
  weir.step "four" { agent = "sink", input = { seen = { "$.two.token", "$.three.token" } } },
  output = "$.four.token",
}
