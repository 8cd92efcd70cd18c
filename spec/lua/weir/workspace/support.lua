--- What the specs of the workspace share.

local assert = require "luassert"
local port = require "weir.port.store"
local workspace = require "weir.workspace"

local M = {}

--- A store in memory.
function M.store()
  return assert(port.open ":memory:")
end

--- A view of run r_1 and pipeline p, with changes.
function M.view(store, options)
  local all = { run = "r_1", pipeline = "p" }
  for name, value in pairs(options or {}) do all[name] = value end
  return workspace.view(store, all)
end

--- Posts and commits, each as a view of its own.
function M.post(store, name, value, options, of)
  local view = M.view(store, of)
  view:post(name, value, options)
  workspace.commit(view)
  return view
end

--- Deletes and commits.
function M.delete(store, name, options)
  local view = M.view(store)
  local was_there = view:delete(name, options)
  workspace.commit(view)
  return was_there
end

--- The names of documents.
function M.names(list)
  local names = {}
  for index, document in ipairs(list) do names[index] = document.name end
  return table.concat(names, " ")
end

--- Calls and expects an error with this code; gives it.
function M.refused(code, body, ...)
  local ok, err = pcall(body, ...)
  assert.is_false(ok)
  assert.equal(code, type(err) == "table" and err.code or err)
  return err
end

--- A generator of numbers from 1 to n, the same for the same seed.
function M.generator(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n + 1
  end
end

return M
