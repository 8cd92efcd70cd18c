--- weir approve: lets through what waits for a person, with an answer where one is asked for.

local decision = require "weir.cli.decision"

local M = {
  name = "approve",
  summary = "Approves what waits for a decision, then goes on with its run until that ends or waits again.",
  examples = { "approve a_1c5ard", "approve a_1c5ard --answer '{\"words\": 200}' --comment 'shorter'",
    "approve a_1c5ard --edit --answer @draft.json",
    "approve --all --matching pipeline=release --as-of 4711" },
  notes = decision.notes .. "\n" .. decision.many_notes,
}

function M.declare(parser)
  decision.declare(parser)
  parser:option("--answer", "the answer that is asked for: JSON, @FILE, or - for stdin"):argname "JSON"
  parser:flag("--edit", "approve with a change: --answer stands in the place of what was shown")
end

function M.run(arguments, context)
  local answer = require("weir.cli.input").read(arguments.answer, "--answer")
  return decision.run(arguments, context, arguments.edit and "edit" or "approve", answer)
end

return M
