--- weir check: pipeline files, all errors at once; with --print their normal form.

local clean = require("weir.cli.text").safe
local failure = require "weir.failure"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"

local M = {
  name = "check",
  summary = "Checks pipeline files without running anything: all errors at once, each with file, line and field.",
  examples = { "check", "check pipelines/digest.lua", "check pipelines/digest.lua --print yaml" },
  notes = "Without a file: all pipelines of the project. Exit status 2 when a file has errors, 6 when there is no such file.\n"
    .. "--print writes the normal form, the same for a Lua, a YAML and a JSON file that mean the same.",
}

function M.declare(parser)
  parser:argument("file", "a pipeline file, or its name"):args "*"
  parser:option("--print", "print the normal form, as yaml (default) or json"):argname("FORMAT"):args "?"
end

-- `--print FILE`: the format was left out, what follows is a file.
local function resolve(arguments)
  local format = arguments.print and (arguments.print[1] or "yaml")
  if format and format ~= "yaml" and format ~= "json" then
    table.insert(arguments.file, 1, format)
    format = "yaml"
  end
  return format
end

-- Those of the project itself, without what comes with weir.
local function all_of_project()
  local here, names = session.project(), {}
  for _, name in ipairs(here:pipeline_names()) do
    if here:is_own_pipeline(name) then names[#names + 1] = name end
  end
  if #names > 0 then return names end
  failure.raise("not_found", "there is no pipeline in %s/pipelines; `weir check FILE` checks one elsewhere, `weir new DIR` makes a project",
    here.root)
end

local or_null = require("weir.value").or_null

local function error_shape(entry)
  return { file = or_null(entry.file), line = or_null(entry.line), column = or_null(entry.column), field = or_null(entry.field),
    code = entry.code or "invalid", message = entry.message, did_you_mean = or_null(entry.did_you_mean) }
end

local function as_json(file, definition, errors)
  local list = json.list {}
  for index, entry in ipairs(errors or {}) do list[index] = error_shape(entry) end
  return { file = file, ok = definition ~= nil, version = or_null(definition and definition.version), errors = list }
end

local function load(name)
  local ok, definition, errors = pcall(function()
    local here = session.project(name:find "[/.]" and name or nil)
    return session.load(here, name)
  end)
  if ok then return definition, errors end
  local err = failure.of(definition)
  return nil, { { file = definition.file or name, line = definition.line, code = err.code, message = err.message } }
end

local function steps_in(groups)
  local count = 0
  for _, group in ipairs(groups or {}) do count = count + #group.steps end
  return count
end

local function say_ok(context, file, definition)
  local count = require("weir.cli.text").count
  local normal = definition.normal
  local what = definition.kind == "flow" and "a flow"
    or ("%s, %s"):format(count(#normal.groups, "group"), count(steps_in(normal.groups), "step"))
  context.out:line(("%s: %s, %s (version %s)"):format(file, context.out:paint("green", "ok"), what, definition.version:sub(1, 12)))
end

local function say_errors(context, errors)
  local format = require("weir.definition.check").format
  for _, entry in ipairs(errors) do context.err:line(context.err:paint("red", "error: ") .. clean(format(entry))) end
end


local function print_normal(context, definition, format)
  context.out:write(require("weir.definition.print").print(definition.normal, format))
end

local function check_one(context, arguments, file, format)
  local definition, errors = load(file)
  if definition and format then
    print_normal(context, definition, format)
  elseif arguments.json then
    context.out:line(shape.line(as_json(file, definition, errors)))
  elseif definition then
    say_ok(context, file, definition)
  end
  if definition then return status.finished end
  if not arguments.json then say_errors(context, errors) end
  return #errors == 1 and errors[1].code == "not_found" and not errors[1].line and status.not_found or status.usage
end

function M.run(arguments, context)
  local highest, format = status.finished, resolve(arguments)
  local files = #arguments.file > 0 and arguments.file or all_of_project()
  for _, file in ipairs(files) do highest = math.max(highest, check_one(context, arguments, file, format)) end
  return highest
end

return M
