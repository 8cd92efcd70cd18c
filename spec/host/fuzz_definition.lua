--- What the loader promises for any bytes, as YAML and as JSON: a definition, or a list of errors that each say
--- what and where. What loads prints as YAML and as JSON, and both load as the same version.

local load = require "weir.definition.load"
local print_definition = require("weir.definition.print").print

local function must(holds, what) if not holds then error(what, 2) end end

local function check_errors(errors)
  must(type(errors) == "table" and #errors > 0, "refused without errors")
  for _, entry in ipairs(errors) do
    must(type(entry.message) == "string" and entry.message ~= "" and type(entry.code) == "string", "an error without words")
  end
end

local function check(bytes, format)
  local definition, errors = load.load("fuzz." .. format, { text = bytes })
  if not definition then return check_errors(errors) end
  for _, printed in ipairs { "yaml", "json" } do
    local text = print_definition(definition.normal, printed)
    local again, why = load.load("again." .. printed, { text = text })
    must(again, ("printed as %s it is refused: %s\n%s"):format(printed, why and why[1] and why[1].message, text))
    must(again.version == definition.version, ("printed as %s it means something else:\n%s"):format(printed, text))
  end
end

return function(bytes)
  check(bytes, "yaml")
  check(bytes, "json")
end
