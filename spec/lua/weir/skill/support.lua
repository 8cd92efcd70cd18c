--- For specs of skills: a project of its own with a store in memory, and skills written into its folder.

local engine = require "weir.run.engine"
local folder_of = dofile "spec/folder.lua"
local hash = require "weir.native.hash"
local json = require "weir.json"
local project = require "weir.project"
local skill = require "weir.skill"
local store_port = require "weir.port.store"
local uv = require "luv"

local M = { write = folder_of.write }

local Place = {}
Place.__index = Place

--- A project in a folder of its own, an engine, a scout. To be closed.
---@param settings table|nil of `skills` in weir.lua
function M.place(settings)
  local folder = assert(uv.fs_mkdtemp "/tmp/weir-skills-XXXXXX")
  M.write(folder .. "/weir.lua", "return {}")
  local self = setmetatable({ folder = folder, project = project.open(folder), store = assert(store_port.open ":memory:") }, Place)
  self.project.settings.skills = settings or { folders = { "skills" } }
  self.engine = engine.new(self.project, self.store)
  self.scout = skill.of(self.engine, "ada")
  return self
end

function Place:close()
  self.engine:close()
  self.store:close()
  folder_of.remove(self.folder)
end

Place.__close = Place.close

--- A manifest and its source, with the hash that fits.
function M.package(fields, source)
  source = source or "return { execute = function(ctx, input) return { double = input.n * 2 } end }\n"
  local manifest = { weir_skill = 1, name = "double", version = "1.0.0", description = "Doubles a number, nothing else", author = "ada",
    tags = { "arithmetic" }, needs = { n = "integer" }, gives = { double = "integer" },
    source = { file = "double.lua", sha256 = hash.sha256(source) },
    tests = { { name = "two", input = { n = 2 }, output = { double = 4 } }, { name = "none", input = {}, error = "failed" } } }
  for name, value in pairs(fields or {}) do manifest[name] = value end
  return manifest, source
end

--- Writes a skill below skills/ of the project.
function Place:add(fields, source, as)
  local manifest, text = M.package(fields, source)
  local folder = ("%s/skills/%s"):format(self.folder, as or manifest.name)
  M.write(folder .. "/skill.json", assert(json.encode(manifest)))
  M.write(folder .. "/" .. manifest.source.file, text)
  return manifest, text, folder
end

--- The one candidate for a need.
function Place:candidate(need)
  local findings = self.scout:find(need)
  return assert(findings.candidates[1], "nothing was found"), findings
end

--- Finds, tries and registers.
function Place:learn(need, given)
  local tried = assert(self.scout:try(self:candidate(need)))
  return self.scout:register(tried.hash, { given = given or tried.added }), tried
end

--- Runs an agent by name; its output, or nil and the error.
function Place:call(name, input, options)
  local weir = require "weir"
  local definition = assert(self.project:check(weir.flow "call" { input = { name = "string", input = "any?" }, function(run, given)
    return run:step "work" { agent = given.name, input = given.input, options = options }
  end }))
  local run = self.engine:run(definition, { name = name, input = input })
  return run.output, run.error, run
end

--- What the audit says of skills, in order.
function Place:audit()
  local list = {}
  for _, record in ipairs(require("weir.audit").list(self.store)) do
    if record.value.via == "skills" then list[#list + 1] = record.value end
  end
  return list
end

return M
