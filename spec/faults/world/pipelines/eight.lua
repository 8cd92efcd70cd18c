--- Eight runs at once, of five pipelines, again and again.

local weir = require "weir"

local NAMES = { "chain", "fan", "items", "rounds", "stubborn", "chain", "fan", "items" }

return weir.flow "eight" {
  input = { rounds = "integer = 1" },
  function(run, input)
    local tokens = {}
    for _ = 1, input.rounds do
      local handles = {}
      for index, name in ipairs(NAMES) do handles[index] = weir.start(name, {}) end
      for index, handle in ipairs(handles) do tokens[index] = handle:wait() end
      run:step "round" { agent = "sink", input = { seen = tokens } }
    end
    return tokens[#NAMES]
  end,
}
