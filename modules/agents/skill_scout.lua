--- Finds, tries and registers a skill for what no agent of the project can do. Candidates are tried in turn until one is good; a
--- person is asked where one wants to be let do more than it was, or where its critic is in doubt. What is known already is not
--- learned again.

local skill = require "weir.skill"
local weir = require "weir"

local M = {
  kind = "agent", name = "skill_scout", api = 1,
  doc = "Finds, tries and registers a skill for what no agent can do",
  needs = { need = "string", name = "string?", gives = "string[]?" },
  gives = { name = "string", state = "string", version = "string?", hash = "string?", refused = "object[]" },
  options = {
    candidates = { type = "integer", minimum = 1, default = 3 },            -- that are tried, the best first
    who = { type = "array", items = { type = "string" }, optional = true }, -- people and groups that may decide; default: anybody
    timeout = { type = "string", default = "7d" },                          -- for their decision; then the skill is not taken
  },
}

local function nothing(input, findings, refused)
  local reasons = {}
  for _, one in ipairs(refused) do reasons[#reasons + 1] = ("%s: %s"):format(one.name, one.cause) end
  for _, one in ipairs(findings.failed) do reasons[#reasons + 1] = ("%s failed before: %s"):format(one.name, one.cause) end
  for _, problem in ipairs(findings.problems) do reasons[#reasons + 1] = problem end
  local why = #reasons > 0 and table.concat(reasons, "; ") or "put one into modules/skills, or name an index in the setting `skills`"
  return nil, ("no skill was found for '%s'; %s"):format(input.need, why), "not_found"
end

-- What the person sees: what it is, where it comes from, what it would be let do, how the trial went.
local function ask(ctx, tried, number)
  return ctx:approval(("decide_%d"):format(number)) {
    title = ("May the skill '%s' %s be used?"):format(tried.name, tried.version), who = ctx.options.who, timeout = ctx.options.timeout,
    on_timeout = "reject", on_reject = "continue",
    show = { name = tried.name, version = tried.version, description = tried.description, author = tried.author,
      origin = tried.origin, hash = tried.hash, why = tried.asks, may = tried.privileges, new = tried.added,
      passed = tried.trial.passed, cases = tried.trial.cases },
  }
end

local function try(ctx, scout, candidate, need, number)
  return ctx:step(("try_%d"):format(number)) { function()
    local tried, message, code = scout:try(candidate, need)
    return tried or { refused = { name = candidate.name, cause = message, code = code } }
  end }
end

-- Registers what a person wants, or what nobody has to be asked for; nil when the person does not.
local function settle(ctx, scout, tried, number)
  local by, given
  if tried.asks then
    local decision = ask(ctx, tried, number)
    if decision.decision ~= "approve" and decision.decision ~= "edit" then
      ctx:step(("decline_%d"):format(number)) { function()
        local comment = decision.comment and ": " .. decision.comment or ""
        scout:decline(tried, decision.by and ("%s did not want it%s"):format(decision.by, comment) or "nobody decided in time")
        return true
      end }
      return nil
    end
    by, given = decision.by, tried.added
  end
  return ctx:step(("register_%d"):format(number)) { function()
    local version = scout:register(tried.hash, { by = by, given = given })
    return { name = version.name, state = version.state, version = version.version, hash = version.hash }
  end }
end

--- Finds a skill, tries it and registers it. Waits; also for a person, where one has to decide.
---@param ctx weir.Context
---@param input { need: string, name: string?, gives: string[]? }  name: the agent that is missing, if it has to have one
---@return { name: string, state: string, version: string?, hash: string?, refused: table[] }?  name: of the agent that does it now;
---  state `known` (it was there), `shadow` (new, on trial)
---@return string? message
---@return string? code  not_found: nothing that was found is good enough
function M.execute(ctx, input)
  local scout, refused = skill.of(ctx), weir.list {}
  local need = { text = input.need, name = input.name, gives = input.gives }
  local findings = ctx:step "find" { function() return scout:find(need) end }
  if findings.known then return { name = findings.known.name, state = "known", refused = refused } end
  for number, candidate in ipairs(findings.candidates) do
    if number > ctx.options.candidates then break end
    local tried = try(ctx, scout, candidate, need, number)
    local registered = not tried.refused and settle(ctx, scout, tried, number)
    if registered then
      registered.refused = refused
      return registered
    end
    refused[#refused + 1] = tried.refused or { name = tried.name, cause = "nobody approved it", code = "rejected" }
  end
  return nothing(input, findings, refused)
end

return M
