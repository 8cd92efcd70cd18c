--- weir reject: says no to what waits for a person.

local decision = require "weir.cli.decision"

local M = {
  name = "reject",
  summary = "Rejects what waits for a decision, then goes on with its run until that ends or waits again.",
  examples = { "reject a_1c5ard --comment 'too long'", "reject a_1c5ard --as ada --detach",
    "reject --all --matching step=publish --as-of 4711 --comment 'not today'" },
  notes = decision.notes .. "\n" .. decision.many_notes,
}

M.declare = decision.declare

function M.run(arguments, context)
  return decision.run(arguments, context, "reject")
end

return M
