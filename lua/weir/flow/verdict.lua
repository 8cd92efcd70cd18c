--- Verdicts: what critics and judges say of what a step made. Both share one contract, so a critic serves as a judge (it
--- is asked branch by branch) and a judge as a critic (it is given one branch).

local context = require "weir.run.context"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local task = require "weir.task"

local M = {}

local VERDICTS = { approve = true, retry = true, edit = true, escalate = true, abort = true }
local RUBRIC = 12 -- characters of the hash of a critic's options

---@class weir.Verdict
---@field verdict "approve"|"retry"|"edit"|"escalate"|"abort"
---@field score number|nil   0..1
---@field advice string|nil  what to do differently
---@field value any          for edit: what stands in the place of the draft
---@field evidence any       what it found

---@class weir.Branch what a judge is shown of a branch
---@field name string
---@field output any
---@field usage table<string, number> tokens, usd, ... that it has used
---@field seconds number     that it took

---@class weir.Use a critic or judge that a step uses
---@field name string    of the module
---@field label string   the name, with a number where a step uses the module more than once
---@field module string  "critics/NAME" or "judges/NAME"

local function is_share(value)
  return type(value) == "number" and value >= 0 and value <= 1
end

--- Checks what a critic or judge returned. Raises `invalid`.
---@param verdict any
---@param who string such as "critic 'rubric'"
---@return weir.Verdict
function M.check(verdict, who)
  if type(verdict) ~= "table" or not VERDICTS[verdict.verdict] then
    failure.raise("invalid", "%s returned no verdict {verdict = approve|retry|edit|escalate|abort, score = 0..1}", who)
  end
  if verdict.score ~= nil and not is_share(verdict.score) then
    local got = type(verdict.score) == "number" and ("%g"):format(verdict.score) or type(verdict.score)
    failure.raise("invalid", "%s: score must be a number from 0 to 1, got %s", who, got)
  end
  if verdict.verdict == "edit" and verdict.value == nil then failure.raise("invalid", "%s says edit without a value", who) end
  return verdict
end

--- The score that a verdict stands for, if it names none.
---@param verdict weir.Verdict
---@return number 0..1
function M.score(verdict)
  local accepts = verdict.verdict == "approve" or verdict.verdict == "edit"
  return verdict.score or (accepts and 1 or 0)
end

--- Whether what was judged may be used, as it is or as the verdict changes it.
---@param verdict weir.Verdict
function M.accepts(verdict)
  return verdict.verdict == "approve" or verdict.verdict == "edit"
end

local function binding_of(frame)
  return frame.held or frame.run.binding
end

local function call(module, name, ctx, given)
  if module.atomic then return native.atomic(module[name], ctx, given) end
  return module[name](ctx, given)
end

-- Runs a call of a module at a boundary of the library: what it deferred has run when this returns.
local function guarded(body, ...)
  local mark = native.deferred()
  local results = table.pack(xpcall(body, failure.explain, ...))
  if native.deferred() > mark then task.unwind(mark) end
  if results[1] then return table.unpack(results, 2, results.n) end
  native.recover()
  error(results[2], 0)
end

M.guarded = guarded

--- The module that a use stands for, and how it is called in messages.
---@param frame weir.Frame
---@param use weir.Use
---@return table module
---@return string who
function M.module(frame, use)
  local entry = binding_of(frame).entries[use.module]
  return entry.module, ("%s '%s'"):format(entry.kind, use.name)
end

-- What a critic asks of the world while it judges one thing has keys of its own; what it remembers, it remembers of all.
local function context_of(frame, use, key, place, input, count)
  local ctx = context.new(frame, use, ("%s/%s%s"):format(key, use.label, place), input, count)
  if place ~= "" then ctx.memory = frame.run:memory_of(("%s/%s"):format(key, use.label)) end
  return ctx
end

-- Who judged, so that it can be told later why something passed.
local function sign(frame, use, ctx, verdict)
  local entry = binding_of(frame).entries[use.module]
  verdict.critic, verdict.version = use.label, entry.version
  verdict.rubric = hash.sha256(json.encode(ctx.options, { canonical = true })):sub(1, RUBRIC)
  return verdict
end

local function own(verdict)
  local copy = {}
  for name, value in pairs(verdict) do copy[name] = value end
  return copy
end

local function of_draft(frame, use, key, place, input, draft, earlier)
  local module, who = M.module(frame, use)
  local ctx = context_of(frame, use, key, place, input, #earlier + 1)
  ctx.drafts = earlier
  local verdict
  if module.review then
    verdict = call(module, "review", ctx, draft)
  elseif module.judge then
    local list = call(module, "judge", ctx, json.list { { name = key:match "[^/]+$", output = draft, usage = {}, seconds = 0 } })
    verdict = type(list) == "table" and (list[1] or list) or nil
  else
    verdict = { verdict = "approve" } -- it only watches drafts as they come
  end
  frame.run:move_usage(ctx._key, key)
  return sign(frame, use, ctx, own(M.check(verdict, who)))
end

--- Has one critic, or judge, look at one draft. Waits, as the module does. Raises `invalid` for what is no verdict, and what
--- the module raises.
---@param frame weir.Frame
---@param use weir.Use
---@param key string of the step
---@param input any of the step
---@param draft any
---@param earlier table[] drafts before, {draft, verdict, score, advice, critic}
---@return weir.Verdict verdict with `critic` (its label), `version` and `rubric` (hash of its options)
function M.of_draft(frame, use, key, input, draft, earlier)
  return guarded(of_draft, frame, use, key, "", input, draft, earlier)
end

--- Has a critic look at a draft that is still being written.
---@param frame weir.Frame
---@param use weir.Use
---@param key string
---@param input any
---@param so_far any
---@param earlier table[]
---@return weir.Verdict|nil nil: go on
function M.of_part(frame, use, key, input, so_far, earlier)
  local module, who = M.module(frame, use)
  if not module.watch then return nil end
  local ctx = context_of(frame, use, key, "/live", input, #earlier + 1)
  ctx.drafts = earlier
  local verdict = guarded(call, module, "watch", ctx, so_far)
  frame.run:move_usage(ctx._key, key)
  if verdict == nil then return nil end
  return sign(frame, use, ctx, own(M.check(verdict, who)))
end

local function together(frame, use, key, input, branches)
  local module, who = M.module(frame, use)
  if not module.judge then
    local verdicts = {}
    for index, branch in ipairs(branches) do
      verdicts[index] = of_draft(frame, use, key, "/" .. branch.name, input, branch.output, {})
    end
    return verdicts
  end
  local ctx = context_of(frame, use, key, "", input, 1)
  local list = call(module, "judge", ctx, branches)
  if type(list) ~= "table" or #list ~= #branches then
    failure.raise("invalid", "%s has to return a list of verdicts, one for each of the %d branches, got %s", who, #branches,
      type(list) == "table" and ("%d"):format(#list) or type(list))
  end
  frame.run:move_usage(ctx._key, key)
  local verdicts = {}
  for index, verdict in ipairs(list) do
    verdicts[index] = sign(frame, use, ctx, own(M.check(verdict, ("%s, branch '%s'"):format(who, branches[index].name))))
  end
  return verdicts
end

--- Has a judge, or a critic, look at finished branches. Waits, as the module does. Raises as `of_draft` does.
---@param frame weir.Frame
---@param use weir.Use
---@param key string
---@param input any of the step that branches
---@param branches weir.Branch[]
---@return weir.Verdict[] one for each branch, signed as those of `of_draft`
function M.of_branches(frame, use, key, input, branches)
  return guarded(together, frame, use, key, input, json.list(branches))
end

--- What of a verdict is kept and shown: all but the value of an edit.
---@param verdict weir.Verdict
---@return table
function M.summary(verdict)
  return { verdict = verdict.verdict, score = verdict.score, advice = verdict.advice, critic = verdict.critic,
    version = verdict.version, rubric = verdict.rubric, evidence = verdict.evidence, panel = verdict.panel, by = verdict.by }
end

return M
