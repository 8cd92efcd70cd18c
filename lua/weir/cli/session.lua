--- What commands work on: the project, its store, its pipelines, and runs named by people.

local client = require "weir.serve.client"
local failure = require "weir.failure"
local project = require "weir.project"
local root = require "weir.root"
local status = require "weir.cli.status"

local M = {}

local ID = "^[ras]_[0-9a-z]*$"
local ID_LENGTH = 22

--- Adds the option that says where the store is.
function M.declare_store(parser)
  parser:option("--store", "the folder of the store; :memory: keeps nothing"):argname "DIR"
end

--- The project of a pipeline file, or of the working folder.
---@param file string|nil
---@return weir.Project
function M.project(file)
  local folder = file and client.path(file):match "^(.*)/[^/]*$"
  if folder == "" then folder = "/" end
  folder = folder or client.working_folder()
  local host = client.host()
  if host and root.find(folder) == host.project.root then return host.project end
  return project.open(folder)
end

local function store_failed(path, message, code)
  local err = failure.new(code or "failed", "%s", message)
  if code ~= "conflict" then err.status = status.store end
  if not message:find(path, 1, true) then err.message = ("store '%s': %s"):format(path, message) end
  error(err, 0)
end

-- A client has found the host by its store; another one is of another host, or of none.
local function store_of_host(host, here, given)
  local path = given and client.path(given) or host.settings.store
  local system = require "weir.port.system"
  if path == host.settings.store or system.real_path(path) == system.real_path(host.settings.store) then return host.store, path end
  failure.raise("conflict", "this host serves the store '%s', not '%s'", host.settings.store, here:store_path(given))
end

--- Opens the store; in a host, it is the host's. Raises when it cannot: `conflict` when another process owns it, otherwise a failure
--- of the store.
---@param here weir.Project
---@param given string|nil of --store
---@return userdata store
---@return string path
function M.open_store(here, given)
  local host = client.host()
  if host then return store_of_host(host, here, given) end
  local path = here:store_path(given)
  local store, message, code = require("weir.port.store").open(path, {})
  if not store then store_failed(path, message, code) end
  return store, path
end

--- Opens a store that has to be there already, for commands that only look.
---@param here weir.Project
---@param given string|nil
function M.open_present_store(here, given)
  if client.host() then return M.open_store(here, given) end
  local path = here:store_path(given)
  if path ~= ":memory:" and not require("luv").fs_stat(path) then
    failure.raise("not_found", "there is no store '%s' yet; `weir run` makes it, or name another with --store", path)
  end
  return M.open_store(here, given)
end

local engines = setmetatable({}, { __mode = "k" }) -- by store

--- Hands an open store to `body` and closes it, also when `body` raises; a host's stays open. Waits.
---@param store userdata
---@param body fun(store: userdata): ...
function M.with_store(store, body, ...)
  local host = client.host()
  if host and host.store == store then return body(store, ...) end
  local results = table.pack(pcall(body, store, ...))
  if engines[store] then engines[store]:close() end
  store:close()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- A command holds the store: what people and other programs are to do they can only do once it has ended. What
-- time alone brings it waits for, if that is near.
local NEAR = 60 -- seconds

--- The engine of a command; in a host, it is the host's.
---@param here weir.Project
---@param store userdata|nil
---@return weir.Engine
function M.engine(here, store)
  local host = client.host()
  if host and host.store == store then return host.engine end
  local engine = require("weir.run.engine").new(here, store, { patience = 0, near = NEAR })
  if store then engines[store] = engine end
  return engine
end

--- The runs that the host executes in which a command runs; nil in a process of its own.
---@return table<string, weir.Run>|nil
function M.live()
  local host = client.host()
  return host and host.engine.live
end

-- What a host serves under a name goes on being served while its file cannot be loaded.
local function served(here, name)
  local definition, err = here:pipeline(name)
  if definition then return definition end
  if not err.details then error(err, 0) end
  return nil, err.details
end

--- Finds the pipeline of a file or name and loads it. Raises `not_found`; for a definition with errors
--- gives nil and all of them.
---@param here weir.Project
---@param name string FILE or NAME
---@return weir.Definition|nil
---@return weir.DefinitionError[]|nil
function M.load(here, name)
  local is_file = name:find "[/.]" ~= nil
  local host = client.host()
  if host and host.project == here and not is_file and here:pipeline_file(name) then return served(here, name) end
  local file, message = here:pipeline_file(is_file and client.path(name) or name)
  if not file then
    local hint = require("weir.suggest").hint(name, here:pipeline_names())
    failure.raise("not_found", "%s%s", message, hint)
  end
  return here:load(file)
end

local function listed(store, query)
  query.damaged = true
  local found, message, code = store:runs(query)
  if not found then failure.raise(code or "failed", "%s", message) end
  return found
end

local function sound(found)
  if not found.damaged then return found.id, found.row end
  failure.raise("corrupt", "run '%s': its row is damaged; `weir doctor --rebuild` makes it again from the journal", found.id)
end

local function newest(store)
  local found = listed(store, { limit = 1, reverse = true })
  if not found[1] then failure.raise("not_found", "the store holds no run yet; `weir run` makes one") end
  return sound(found[1])
end

local function ambiguous(given, found)
  local err = failure.new("invalid", "'%s' fits more than one run, such as %s and %s; give more of the id", given, found[1].id, found[2].id)
  error(err, 0)
end

local function by_prefix(store, given)
  local found = listed(store, { after = given, limit = 2 })
  local fits = {}
  for _, entry in ipairs(found) do
    if entry.id:sub(1, #given) == given then fits[#fits + 1] = entry end
  end
  if #fits > 1 then ambiguous(given, fits) end
  if fits[1] then return sound(fits[1]) end
  failure.raise("not_found", "there is no run '%s'; `weir runs` lists them", given)
end

--- A run named by its id, by the beginning of one, or by `last`. Raises `not_found` and `invalid`.
---@param store userdata
---@param given string
---@return string id
---@return table row
function M.find_run(store, given)
  if given == "last" then return newest(store) end
  if not given:find(ID) then
    failure.raise("invalid", "'%s' is no run: an id such as r_1a2b..., the beginning of one, or `last` expected", given)
  end
  if #given < ID_LENGTH then return by_prefix(store, given) end
  local row, _, code = store:row(given)
  if row then return given, row end
  if code == "corrupt" then return sound { id = given, damaged = true } end
  failure.raise("not_found", "there is no run '%s'; `weir runs` lists them", given)
end

return M
