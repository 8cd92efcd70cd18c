--- The models of an engine: which there are, what was measured of them, what they may still be asked, and one call of one of
--- them. Who asks (`ctx:chat`) knows nothing of providers; a model module knows nothing of runs.

local budget = require "weir.model.budget"
local catalog = require "weir.model.catalog"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local price = require "weir.model.price"
local resume = require "weir.model.resume"
local route = require "weir.model.route"
local schema = require "weir.schema"

local M = {}

local BYTES_PER_TOKEN = 4  -- of what is sent, for estimates
local ORDERED = "ordered"  -- the policy of those who name none
local ANSWER_TOKENS = 1000 -- of an answer whose length nobody limited, for estimates

---@class weir.model.Service
---@field catalog weir.model.Catalog
---@field budgets weir.model.Budgets
local Service = {}
Service.__index = Service

--- The models of an engine; made when they are asked for the first time.
---@param engine weir.Engine
---@return weir.model.Service
function M.of(engine)
  local service = engine.models
  if not service then
    local settings = engine.project.settings
    service = setmetatable({ project = engine.project, catalog = catalog.new(engine.project), router = route.new(engine.store),
      budgets = budget.new(settings.budgets, engine.store) }, Service)
    engine.models = service
    for name, seconds in pairs(require("weir.healing.controls").models(engine.store)) do service.router.admission:hold(name, seconds) end
  end
  return service
end

--- The candidates of a step's `model`, and who chooses among them. Raises `not_found`, `invalid`.
function Service:choice(spec)
  return self.catalog:choice(spec)
end

local function estimate_of(request)
  local bytes = 0
  for _, message in ipairs(request.messages) do bytes = bytes + #message.content end
  return { input_tokens = bytes // BYTES_PER_TOKEN + 1, output_tokens = request.max_tokens or ANSWER_TOKENS }
end

--- What a call may use at most, as far as one can say before it: what is sent, and as much as may be answered, at the highest
--- price of the candidates.
---@return { tokens: number, usd: number }
function Service:estimate(candidates, request) -- luacheck: ignore 212
  local usage, usd = estimate_of(request), 0
  for _, entry in ipairs(candidates) do usd = math.max(usd, price.usd(entry.price, usage) or 0) end
  return { tokens = usage.input_tokens + usage.output_tokens, usd = usd }
end

-- What a model module is called with.
local Caller = {}
Caller.__index = Caller

function Caller:emit(delta)
  if delta.usage then
    for name, amount in pairs(delta.usage) do self.usage[name] = amount end
  end
  return self.hear(delta)
end

function Caller:secret(name) -- luacheck: ignore 212
  return require("weir.secret").handle(name)
end

-- However a call ends, what it has used is known to have been used.
function Caller:close()
  if self.is_settled then return end
  self.is_settled = true
  if self.settle then self.settle(self.usage) end
end

Caller.__close = Caller.close

local function module_of(self, full)
  local found, err = self.project.registry:get(full)
  if not found then error(err, 0) end
  return found
end

local function caller(self, entry, hear, settle)
  local module = module_of(self, entry.module)
  local options = self.project.registry:options(module, self.project:options_of(entry.module), entry.options)
  return setmetatable({ options = options, hear = hear, settle = settle, usage = {} }, Caller), module
end

-- A module that raises has failed; a cancellation goes on.
local function called(call, ...)
  local results = table.pack(xpcall(call, failure.explain, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local err = failure.of(results[2])
  if err.code == "cancelled" then error(err, 0) end
  return nil, err.message, err.code, { class = err.class or "failed" }
end

-- An answer is its value, where a schema was asked for: all of it fits, or it is no answer.
local function decode(request, response)
  local value, message = response.value, nil
  if value == nil then value, message = json.decode(response.message.content) end
  if value == nil then return nil, ("is no JSON: %s"):format(message) end
  local validate, why = schema.compile(request.schema)
  if not validate then return nil, "could not be checked: " .. why end
  local fits, errors = validate(value, "answer")
  if not fits then return nil, "does not fit the schema: " .. errors[1].message end
  response.value = value
  return true
end

local function refuse(entry, what, code, detail)
  return nil, ("model '%s'%s"):format(entry.name, what), code or "failed", detail or { class = "failed" }
end

local function is_response(response)
  return type(response) == "table" and type(response.message) == "table" and type(response.message.content) == "string"
end

local function check(entry, request, response, message, code, detail)
  if response == nil then return refuse(entry, ": " .. tostring(message), code, detail) end
  if not is_response(response) then
    return refuse(entry, " returned no response {message = {role, content}, finish, usage}", "invalid", { class = "protocol" })
  end
  response.usage = response.usage or {}
  response.model = response.model or entry.name
  if not request.schema or response.message.tool_calls then return response end
  local ok, wrong = decode(request, response)
  if ok then return response end
  return refuse(entry, ": its answer " .. wrong, "invalid", { class = "protocol", usage = response.usage })
end

local function copy(request)
  local own = {}
  for name, value in pairs(request) do own[name] = value end
  return own
end

-- All calls together: of a try that failed, of one that lost a race.
local function add(place, usage, usd)
  place.usage = place.usage or {}
  for name, amount in pairs(usage) do place.usage[name] = (place.usage[name] or 0) + amount end
  if usd then place.usd = (place.usd or 0) + usd end
end

-- One call of one model. `place.used` hears what it has used, on every way out.
local function call_one(self, place, entry, request, hear)
  local counts = self.budgets:counts { pipeline = place.pipeline, key = entry.key }
  if place.admit then place.admit(entry.key) end
  local estimate = self:estimate({ entry }, request)
  local account, asked_ms = { pipeline = place.pipeline, key = entry.key }, clock.wall_ms()
  if counts then self.budgets:add(account, { calls = 1, tokens = estimate.tokens, usd = estimate.usd }, asked_ms) end
  local function settle(usage)
    local usd = price.usd(entry.price, usage)
    place.used(entry.name, usage, usd, estimate)
    add(place, usage, usd)
    if not counts or not usage.input_tokens or not usage.output_tokens then return end
    local correction = { tokens = usage.input_tokens + usage.output_tokens - estimate.tokens, usd = (usd or estimate.usd) - estimate.usd }
    pcall(self.budgets.add, self.budgets, account, correction, asked_ms) -- what is not corrected stays as high as it was estimated
  end
  local ctx <close>, module = caller(self, entry, hear, settle)
  local asked = copy(request)
  asked.stream = entry.capabilities.stream ~= false
  local response, message, code, detail = check(entry, request, called(module.module.chat, ctx, asked))
  local usage = response and response.usage or detail and detail.usage
  for name, amount in pairs(usage or {}) do ctx.usage[name] = amount end
  return response, message, code, detail
end

--- Says how good an answer was. Does not wait.
---@param model string
---@param label string|nil
---@param score number 0..1
---@param source "critic"|"person"
function Service:score(model, label, score, source)
  self.router.statistics:score(model, label, math.min(1, math.max(0, score)), source)
end

-- A stream that broke is a choice of its own when it goes on.
local function note_choice(place, decision)
  decision.before = place.decision
  place.decision = decision
end

--- Writes what was measured, before the store is closed. Waits.
function Service:close()
  self.router:close()
end

--- Asks one of the candidates, as the policy chooses, and others when it fails. Waits.
---@param place { pipeline: string, label: string, run: string, step: string, left: fun(): table,
---   used: fun(model: string, usage: table, usd: number|nil, estimate: table), admit: nil|fun(key: string|nil), decision: table|nil }
---   gets `decision`: why which model was asked
---@param candidates weir.model.Entry[]
---@param policy { use: string, options: table }|nil
---@param request weir.model.Request
---@param hear fun(delta: table) hears what comes; waits while its reader is behind
---@param can_roll_back boolean it knows { restart = BYTES }: what came after them is taken back
---@return weir.model.Response|nil
---@return string? message
---@return string? code
---@return table? detail {class, ...}
function Service:chat(place, candidates, policy, request, hear, can_roll_back)
  policy = policy or { use = ORDERED }
  local full = "policies/" .. policy.use
  local module = module_of(self, full)
  local options = self.project.registry:options(module, self.project:options_of(full), policy.options)
  local routing = self.project.settings.routing or {}
  local choice = { router = self.router, candidates = candidates, label = place.label, left = place.left,
    policy = { name = policy.use, module = module.module, state = self.project.registry:state(module, options) },
    options = routing, on_choice = function(decision) note_choice(place, decision) end }
  return resume.call(function(asked, emit)
    choice.emit = emit
    for _, entry in ipairs(candidates) do entry.estimate = estimate_of(asked) end
    return route.call(choice, asked, function(candidate, one, give) return call_one(self, place, candidate, one, give) end)
  end, request, hear, { policy = routing.resume, can_roll_back = can_roll_back })
end

--- Asks for the vectors of texts. Waits.
---@param spec string|table|nil
---@param texts string[]
---@return { vectors: number[][], usage: table, model: string }|nil
---@return string? message
---@return string? code
---@return table? detail
function Service:embed(spec, texts)
  local last = { nil, "no model was asked", "unavailable" }
  for _, entry in ipairs((self:choice(spec))) do
    local ctx, module = caller(self, entry, function() end)
    if module.module.embed then
      local vectors, message, code, detail = called(module.module.embed, ctx, { texts = texts })
      if vectors then
        vectors.model = vectors.model or entry.name
        return vectors
      end
      last = table.pack(refuse(entry, ": " .. tostring(message), code, detail))
    else
      last = { nil, ("model '%s' makes no vectors"):format(entry.name), "unavailable", { class = "invalid_request" } }
    end
  end
  return table.unpack(last, 1, 4)
end

return M
