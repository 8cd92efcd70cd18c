--- The shapes that routes take and give, as JSON Schemas; the components of /api/openapi.json.

local M = {}

local function object(properties, required, more)
  local schema = { type = "object", properties = properties, required = required, additionalProperties = false }
  for name, value in pairs(more or {}) do schema[name] = value end
  return schema
end

M.object = object

local function nullable(name) return { type = { name, "null" } } end
local function list_of(name) return { type = "array", items = { ["$ref"] = "#/components/schemas/" .. name } } end

function M.ref(name) return { ["$ref"] = "#/components/schemas/" .. name } end

--- A page of a list.
function M.page(name)
  return { type = "object", required = { "items", "next" }, properties = { items = list_of(name), next = nullable "string" } }
end

M.pipeline_name = { type = "string", pattern = "^[a-z][a-z0-9_-]{0,63}$" }
M.word = { type = "string", minLength = 1, maxLength = 200 }
M.step = { type = "string", minLength = 1, maxLength = 512 }
M.comment = { type = "string", maxLength = 10000 }
M.limit = { type = "integer", minimum = 1, maximum = 1000 }
M.cursor = { type = "string", minLength = 1, maxLength = 256 }
M.status = { type = "string", enum = { "queued", "running", "waiting", "in_doubt", "finished", "failed", "cancelled", "quarantined" } }

local anything = {}
local time = { type = { "string", "null" }, format = "date-time" }

M.components = {
  Problem = { type = "object", required = { "type", "title", "status", "code", "detail" }, properties = {
    type = { type = "string" }, title = { type = "string" }, status = { type = "integer" }, detail = { type = "string" },
    code = { type = "string" }, run = { type = "string" }, step = { type = "string" },
    errors = { type = "array", items = { type = "object", properties = { path = { type = "string" }, message = { type = "string" },
      line = { type = "integer" }, did_you_mean = { type = "string" } } } } } },
  Wait = { type = "object", properties = { step = { type = "string" }, kind = { type = "string" }, id = nullable "string",
    name = nullable "string", since = time, ["until"] = time } },
  RunLine = { type = "object", required = { "run", "pipeline", "status" }, properties = { run = { type = "string" },
    pipeline = { type = "string" }, version = nullable "string", status = M.status, output = anything,
    error = { type = { "object", "null" },
      properties = { code = { type = "string" }, message = { type = "string" }, step = nullable "string" } },
    waiting = list_of "Wait", started_at = time, ended_at = time } },
  Step = { type = "object", properties = { key = { type = "string" }, step = { type = "string" }, group = nullable "string",
    visit = { type = "integer" }, attempt = { type = "integer" }, agent = nullable "string", version = nullable "string",
    status = { type = "string" }, started_at = time, ended_at = time, verdict = anything, items = anything,
    usage = anything, error = anything } },
  Run = { type = "object", required = { "run", "pipeline", "status", "steps" }, properties = { run = { type = "string" },
    pipeline = { type = "string" }, status = M.status, input = anything, output = anything, data = { type = "object" },
    steps = list_of "Step", waiting = list_of "Wait", started_at = time, ended_at = time } },
  Moment = { type = "object", properties = { run = { type = "string" }, step = nullable "string", entry = { type = "integer" },
    data = { type = "object" }, at = time, later = { type = "array" } } },
  Entry = { type = "object", properties = { n = { type = "integer" }, entry = { type = "array" } } },
  Plan = { type = "object", properties = { run = { type = "string" }, repeated = { type = "array" }, kept = { type = "array" } } },
  Approval = { type = "object", required = { "id", "run", "step", "hash" }, properties = { id = { type = "string" },
    run = { type = "string" }, pipeline = { type = "string" }, step = { type = "string" }, title = nullable "string", show = anything,
    hash = { type = "string" }, form = anything, who = { type = { "array", "null" } }, quorum = { type = "integer" },
    given = { type = "array" }, weights = { type = "object" }, ladder = { type = "object" }, delegated = { type = "array" },
    world = anything, due_at = time, decision = { type = "string" }, decided_at = time } },
  Outcome = { type = "object", required = { "id" }, properties = { id = { type = "string" }, decision = nullable "string",
    error = anything } },
  Incident = { type = "object", required = { "id", "kind", "at", "state", "code", "message", "fingerprint", "family" }, properties = {
    id = { type = "string" }, kind = { type = "string" }, at = time, code = { type = "string" }, message = { type = "string" },
    state = { type = "string", enum = { "remedied", "escalated", "passed", "closed" } }, fingerprint = { type = "string" },
    family = { type = "string" }, pipeline = nullable "string", version = nullable "string", run = nullable "string",
    step = nullable "string", agent = nullable "string", agent_version = nullable "string", attempt = nullable "integer",
    by = nullable "string", reason = nullable "string", outcome = nullable "string", caused_by = nullable "string",
    note = nullable "string", replayed_as = nullable "string", closed_by = nullable "string", ended_at = time, closed_at = time,
    remedy = { type = { "object", "null" }, required = { "name", "args" }, properties = { name = { type = "string" },
      args = { type = "object" }, reverted_at = time, reverted_by = nullable "string" } },
    seen = { type = "integer" }, set_aside = { type = { "object", "null" }, properties = { input = anything } },
    holds = { type = { "object", "null" }, properties = { ["until"] = time } } } },
  Schedule = { type = "object", required = { "id", "name", "pipeline" }, properties = { id = { type = "string" },
    name = { type = "string" }, pipeline = { type = "string" }, says = { type = "string" }, tz = { type = "string" },
    overlap = { type = "string" },
    missed = { type = "string" }, paused = { type = { "object", "null" } }, over = nullable "string", next_at = time,
    next_local = nullable "string", last_at = time, waiting = { type = "integer" }, active = { type = "array" },
    totals = { type = "object" }, options = { type = "object" } } },
  Occurrence = { type = "object", required = { "seq", "nominal", "outcome" }, properties = { seq = { type = "integer" }, nominal = time,
    ["local"] = { type = "string" }, kind = { type = "string" }, outcome = { type = "string" }, at = time, why = nullable "string",
    run = nullable "string", status = nullable "string", ended_at = time, lag_s = nullable "number", interval = anything } },
  Preview = { type = "object", required = { "items" }, properties = { items = { type = "array" }, seconds = nullable "number",
    samples = { type = "integer" }, paused = { type = { "object", "null" } }, over = nullable "string" } },
  ScheduleAction = { type = "object", required = { "schedule" }, properties = {
    schedule = { ["$ref"] = "#/components/schemas/Schedule" }, changed = { type = "boolean" }, passed = { type = "integer" },
    action = { type = "string" }, times = { type = "array", items = { type = "string" } } } },
  Pipeline = { type = "object", required = { "name", "ok" }, properties = { name = { type = "string" }, file = nullable "string",
    ok = { type = "boolean" }, version = nullable "string", doc = nullable "string", input = anything, normal = anything,
    errors = { type = "array" } } },
  Module = { type = "object", required = { "kind", "name" }, properties = { kind = { type = "string" }, name = { type = "string" },
    version = nullable "string", file = nullable "string", active = { type = "boolean" }, runs = { type = "integer" }, loaded_at = time,
    error = nullable "string", versions = { type = "array" } } },
  Rollback = { type = "object", required = { "name", "from", "to" }, properties = { name = { type = "string" },
    from = { type = "string" }, to = { type = "string" }, file = nullable "string" } },
  Reload = { type = "object", properties = { reloaded = { type = "array" }, failed = { type = "array" }, removed = { type = "array" },
    unchanged = { type = "array" }, seconds = { type = "number" } } },
  Document = { type = "object", required = { "name", "scope", "version" }, properties = { name = { type = "string" },
    scope = { type = "string" }, version = { type = "integer" }, value = anything, type = nullable "string",
    tags = { type = "array", items = { type = "string" } }, author = nullable "string", run = nullable "string", at = time } },
  CloudEvent = { type = "object", required = { "specversion", "id", "source", "type" }, properties = { specversion = { const = "1.0" },
    id = { type = "string", minLength = 1, maxLength = 512 }, source = { type = "string", minLength = 1, maxLength = 2048 },
    type = { type = "string", minLength = 1, maxLength = 512 }, subject = { type = "string" }, time = { type = "string" },
    datacontenttype = { type = "string" }, data = anything, data_base64 = { type = "string" } } },
  Accepted = { type = "object", required = { "id" }, properties = { id = { type = "string" }, duplicate = { type = "boolean" } } },
  Health = { type = "object", required = { "status" }, properties = { status = { type = "string" } } },
}

return M
