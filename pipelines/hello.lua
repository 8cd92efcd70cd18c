-- Greets somebody. The smallest pipeline: one step, one input.
--     weir run pipelines/hello.lua --set name=Ada
local weir = require "weir"

return weir.pipeline "hello" {
  doc = "Greets somebody by name.",
  input = { name = "string = world" },
  weir.step "greet" { agent = "echo", input = { text = "Hello, ${input.name}!" } },
  output = "$.greet.text",
}
