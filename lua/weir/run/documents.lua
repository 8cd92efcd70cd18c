--- The workspace as the steps of a run see it. The steps of a group read one moment, that of the group's
--- beginning, also in a later life of the run. What a step writes is committed in one transaction with its
--- outcome; of steps of which not all count it stays in a branch of its own until it is known that they do.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"

local M = {}

-- Loaded by the first run that uses it: most do not.
local function workspace()
  return require "weir.workspace"
end

-- The moment that the steps of a frame's group read; nil where one step reads alone.
local function snapshot_of(frame)
  local sync, journal = frame.sync, frame.run.journal
  if not sync or not journal then return nil end
  local key = ("%s%s#%d/snapshot"):format(sync.prefix, sync.group, sync.visit)
  local entry = journal.choices[key]
  if not entry then
    entry = { "choice", key, sync.lsn }
    journal.choices[key] = entry
    journal:note(entry) -- stands before the outcome of whoever read
  end
  return entry[3]
end

local function overlay_of(frame)
  local run, branch = frame.run, frame.branch
  if not branch then return nil end
  run.overlays = run.overlays or {}
  local overlay = run.overlays[branch]
  if not overlay then
    overlay = workspace().overlay(run.engine.store, { run = run.id, branch = branch })
    run.overlays[branch] = overlay
  end
  return overlay
end

local function new_view(frame, step, key)
  local run = frame.run
  local store = run.engine.store
  if frame.branch_of then
    failure.raise("unavailable", "step '%s' uses the workspace in a branch of a branch ('%s' in '%s'), which weir does not keep apart; "
      .. "use it outside of the inner one", key, frame.branch, frame.branch_of)
  end
  if not run.journal then
    failure.raise("unavailable", "step '%s' uses the workspace, and of this run nothing is kept: give it a durability and a store", key)
  end
  return workspace().view(store, { run = run.id, pipeline = run.plan.name, step = key, author = step.agent or step.name,
    snapshot = snapshot_of(frame) or workspace().snapshot(store), overlay = overlay_of(frame) })
end

-- A view commits with the step, if it wrote anything.
local function staged(view)
  return { operations = function() return view:operations() end, committed = function() view:committed() end, view = view }
end

local function stage(frame, view)
  local list = rawget(frame, "staged") or {}
  list[#list + 1], frame.staged = staged(view), list
end

-- An arbiter is a step below the one that posts. Its name says what is disputed, so that a later life of the run
-- finds what it said, if the same is disputed again.
local function ask_arbiter(frame, step, key, agent, details)
  local handle = require("weir.run.context").new(frame, step, key, nil, 1)
  local mark = require("weir.native.hash").sha256(table.concat({ details.base, details.ours, details.theirs }, "\0"))
  local input = { document = details.document, base = details.base, ours = details.ours, theirs = details.theirs, text = details.text,
    conflicts = details.conflicts }
  local said = handle:step("arbiter_" .. mark:sub(1, 12)) { agent = agent, input = input }
  local text = type(said) == "table" and said.text or said
  if type(text) ~= "string" then
    failure.raise("invalid", "%s: arbiter '%s' settles a conflict with a text, or with a table that has the field text", details.document,
      agent)
  end
  return text
end

--- Lets an arbiter settle what a commit was refused for, if whoever posted named one. Waits for the arbiter. Raises
--- what the arbiter raises.
---@param frame table
---@param step table
---@param key string
---@param sources table[] what the step has written
---@param err any what the commit raised
---@return boolean is_settled
function M.settle(frame, step, key, sources, err)
  for _, source in ipairs(sources) do
    local agent, disputed = nil, nil
    if source.view then agent, disputed = source.view:arbiter_of(err) end
    if agent then return source.view:settle(disputed, err, ask_arbiter(frame, step, key, agent, err.details)) end
  end
  return false
end

--- The workspace of an attempt. What is written to it is kept if the attempt finishes; what the function of a flow's
--- step writes, if that step does.
---@param ctx weir.Context
---@return weir.WorkspaceView
function M.view(ctx)
  local frame = ctx._frame
  local view = new_view(frame, ctx._step, ctx._key)
  stage(rawget(ctx, "_flow") == frame and frame.commits_in or frame, view)
  return view
end

--- Posts the output of a step, as its field `post` says.
---@param frame table
---@param step table with `post`: {name, type, tags, scope, merge, arbiter}
---@param key string
---@param output any
function M.post(frame, step, key, output)
  local post = step.post
  local name, message, code = post.name(setmetatable({ [step.name] = output }, { __index = frame.data }))
  if name == nil and message then failure.raise(code or "invalid", "post: %s", message) end
  local view = new_view(frame, step, key)
  stage(frame, view)
  view:post(tostring(name), output, { type = post.type, tags = post.tags, scope = post.scope, merge = post.merge,
    arbiter = post.arbiter })
end

--- What `$.workspace` stands for: documents of the run by name, read when they are asked for.
---@param run weir.Run
---@return table
function M.root(run)
  return setmetatable({}, { __index = function(_, name)
    if not run.journal then return nil end
    local frame = native.context()
    local document = new_view(frame and frame.run == run and frame or { run = run }, { name = "input" }, "input"):get(name)
    return document and document.value
  end })
end

-- Branches ------------------------------------------------------------------------------------------

local function each_branch(run, keys)
  return function(_, index)
    index = index + 1
    local branch = keys[index]
    if branch then return index, overlay_of { run = run, branch = branch } end
  end, nil, 0
end

--- The operations that make what the steps that count wrote the real thing, and forget the rest.
---@param run weir.Run
---@param counted string[] keys of steps
---@param others string[]
---@return table[] operations
function M.decide(run, counted, others)
  local operations = {}
  if not run.overlays and not run.was_reopened then return operations end -- no branch ever wrote
  local function add(list) table.move(list, 1, #list, #operations + 1, operations) end
  for _, overlay in each_branch(run, counted) do add(workspace().adopt(overlay)) end
  for _, overlay in each_branch(run, others) do add(workspace().discard(overlay)) end
  return operations
end

--- To be called when they are committed.
---@param run weir.Run
---@param counted string[]
function M.decided(run, counted)
  if not run.overlays then return end
  for _, overlay in each_branch(run, counted) do overlay:committed() end
end

return M
