--- weir schema: the JSON Schema of pipeline files.

local json = require "weir.native.json"

local M = {
  name = "schema",
  summary = "Prints the JSON Schema (2020-12) of the normal form of pipelines, for editors and programs.",
  examples = { "schema > pipeline.schema.json" },
  notes = "With --json it is printed on one line.",
}

function M.declare() end

function M.run(arguments, context)
  context.out:line(json.encode(require("weir.definition.form").schema(), not arguments.json and { indent = 2 } or nil))
  return 0
end

return M
