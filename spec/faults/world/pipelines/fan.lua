local weir = require "weir"

return weir.pipeline "fan" {
  weir.group "wide" {
    weir.step "a" { agent = "sink" },
    weir.step "b" { agent = "sink" },
    weir.step "c" { agent = "sink" },
    weir.step "d" { agent = "sink", when = "$.run.id == 'nobody'" },
  },
  weir.group "race" {
    join = "any",
    weir.step "x" { agent = "sink", input = { seen = { "$.a.token", "$.b.token" } } },
    weir.step "y" { agent = "sink", input = { seen = { "$.c.token" } } },
  },
  weir.step "last" { agent = "sink", input = { seen = { "$.a.token", "$.b.token", "$.c.token", "$.x.token?", "$.y.token?" } } },
  output = "$.last.token",
}
