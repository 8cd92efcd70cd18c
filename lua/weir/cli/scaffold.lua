--- The files of a new project. Pure.

local M = {}

local PIPELINE = [[
-- Greets somebody. Run it with
--     ./weir run hello --set name=Ada
local weir = require "weir"

return weir.pipeline "hello" {
  doc = "Greets somebody by name.",
  input = { name = "string = world" },
  weir.step "greet" {
    agent = "greet", options = { greeting = "Hello" },
    input = { name = "$.input.name" },
  },
  output = "$.greet.text",
}
]]

local AGENT = [[
--- Greets a name. An agent is a table with a function `execute`; loading its file has no effect.

local M = {
  kind = "agent", name = "greet", api = 1,
  doc = "Greets a name.",
  options = { greeting = "string = Hello" },
}

--- Gives the greeting.
---@param ctx weir.Context
---@param input { name: string }
---@return { text: string }
function M.execute(ctx, input)
  return { text = ("%s, %s!"):format(ctx.options.greeting, input.name) }
end

return M
]]

local SPEC = [[
local testing = require "weir.testing"

describe("pipeline hello", function()
  it("greets whom it is given", function()
    local run = testing.run("pipelines/hello.lua", { input = { name = "Ada" } })
    assert.equal("finished", run.status)
    assert.equal("Hello, Ada!", run.output)
  end)

  it("greets the world when nobody is named", function()
    local run = testing.run("pipelines/hello.lua", { input = {} })
    assert.equal("Hello, world!", run.output)
  end)
end)
]]

local SETTINGS = [[
-- Settings of this project; every field may be left out.
return {
  -- options that modules get here, under those of a step
  options = {
    ["agents/greet"] = {},
  },
}
]]

local EDITOR = [[
{
  "$schema": "https://raw.githubusercontent.com/LuaLS/vscode-lua/master/setting/schema.json",
  "runtime.version": "Lua 5.4",
  "workspace.library": [%s],
  "workspace.checkThirdParty": false,
  "diagnostics.globals": ["describe", "it", "before_each", "after_each", "setup", "teardown", "pending"]
}
]]

local function shell_quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function json_quoted(text)
  return require("weir.native.json").encode(text)
end

local function launcher(host, home)
  local prefix = home and ("WEIR_HOME=%s "):format(shell_quoted(home)) or ""
  return ("#!/bin/sh\n%sexec %s \"$@\"\n"):format(prefix, shell_quoted(host))
end

---@class weir.cli.NewFile
---@field path string  below the project
---@field text string
---@field is_program boolean|nil

--- The files of a new project.
---@param host string absolute path of the host's program
---@param library string absolute path of the folder that holds lua/weir
---@param home string|nil WEIR_HOME, when it says where the library is
---@return weir.cli.NewFile[]
function M.files(host, library, home)
  return {
    { path = "pipelines/hello.lua", text = PIPELINE },
    { path = "modules/agents/greet.lua", text = AGENT },
    { path = "spec/hello_spec.lua", text = SPEC },
    { path = "weir.lua", text = SETTINGS },
    { path = ".luarc.json", text = EDITOR:format(json_quoted(library .. "/lua")) },
    { path = ".gitignore", text = ".weir/\n" },
    { path = "weir", text = launcher(host, home), is_program = true },
  }
end

return M
