-- /api/schedules and what the host counts.
local cli = dofile "spec/lua/weir/cli/support.lua"
local json = require "weir.native.json"
local log_of = require "weir.log"
local http = require "weir.port.http"
local serve = require "weir.serve"
local clock = require "weir.port.clock"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "digest" {
  on = { { schedule = { cron = "0 8 * * mon-fri", tz = "Europe/Berlin", overlap = "buffer_all" } } },
  weir.step "work" { agent = "echo", input = "$.input" },
}
]]

describe("the routes of schedules", function()
  local folder, host
  setup(function()
    folder = cli.folder()
    cli.write(folder, "weir.lua", "return {}\n")
    cli.write(folder, "pipelines/digest.lua", PIPELINE)
    host = serve.start { folder = folder, listen = "127.0.0.1:0", env = function() end, logger = log_of.new { write = function() end } }
  end)
  teardown(function()
    host:stop "the spec is over"
    cli.remove(folder)
  end)

  local function ask(method, path, body)
    local response = assert(http.fetch { url = host.url .. path, method = method, body = body and json.encode(body), timeout = 30,
      headers = { ["content-type"] = body and "application/json" or nil, authorization = "Bearer " .. host.http.token } })
    return response.status, response.body ~= "" and json.decode(response.body) or response.body, response.body
  end

  local function eventually(test)
    for _ = 1, 400 do
      local found = test()
      if found then return found end
      clock.sleep(0.02)
    end
    error "it did not come"
  end

  it("list them, and show one by its id or its name", function()
    local status, page = ask("GET", "/api/schedules")
    assert.equal(200, status)
    assert.same({ 1, "digest", "0 8 * * mon-fri", json.null }, { #page.items, page.items[1].name, page.items[1].says, page.next })
    local _, one = ask("GET", "/api/schedules/" .. page.items[1].id)
    assert.equal("digest", one.name)
    assert.equal(200, (ask("GET", "/api/schedules/digest")))
    local problem
    status, problem = ask("GET", "/api/schedules/other")
    assert.same({ 404, "not_found" }, { status, problem.code })
  end)

  it("refuse a cursor that no page has given", function()
    local _, page = ask("GET", "/api/schedules")
    for _, cursor in ipairs { "x", "1.5", "-1", "0x10", "1e3", "99999999999999999999" } do
      assert.equal(422, (ask("GET", ("/api/schedules/%s/history?cursor=%s"):format(page.items[1].id, cursor))))
    end
  end)

  it("preview the next times", function()
    local _, page = ask("GET", "/api/schedules/digest/preview?from=2026-03-27&count=3&duration=30h")
    assert.same({ "2026-03-27T08:00:00+01:00", "start", "2026-03-31T08:00:00+02:00", "wait" },
      { page.items[1]["local"], page.items[1].outcome, page.items[3]["local"], page.items[3].outcome })
    assert.equal(108000, page.seconds)
    local status, problem = ask("GET", "/api/schedules/digest/preview?from=2026-02-30")
    assert.same({ 422, "invalid" }, { status, problem.code })
  end)

  it("pause, resume, trigger and backfill, and keep a history of it", function()
    local status, answer, _ = ask("POST", "/api/schedules/digest/pause", { why = "a test" })
    assert.same({ 200, true, "a test" }, { status, answer.changed, answer.schedule.paused.why })
    _, answer = ask("POST", "/api/schedules/digest/resume", {})
    assert.same({ true, json.null }, { answer.changed, answer.schedule.paused })
    _, answer = ask("POST", "/api/schedules/digest/trigger", {})
    assert.equal("start", answer.action)
    _, answer = ask("POST", "/api/schedules/digest/backfill", { from = "2026-01-05", to = "2026-01-07" })
    assert.same({ "2026-01-05T07:00:00.000Z", "2026-01-06T07:00:00.000Z" }, answer.times)
    local page = eventually(function()
      local _, rows = ask("GET", "/api/schedules/digest/history?limit=2")
      local newest = rows.items[1]
      return #rows.items == 2 and newest["local"] == "2026-01-06T08:00:00+01:00" and newest.status == "finished" and rows
    end)
    assert.equal("backfill", page.items[1].kind)
    local _, rest = ask("GET", "/api/schedules/digest/history?limit=2&cursor=" .. page.next)
    assert.equal("manual", rest.items[#rest.items].kind)
    for _, body in ipairs { { from = "2026-01-05" }, { from = "2026-01-05", to = "2999-01-01" }, { from = "2026-01-05", to = "2026-01-04" } } do
      assert.equal(422, (ask("POST", "/api/schedules/digest/backfill", body)))
    end
    assert.equal(422, (ask("POST", "/api/schedules/digest/trigger", { overlap = "queue" })))
  end)

  it("count what was decided, and how late runs began", function()
    local text = eventually(function()
      local _, _, metrics = ask("GET", "/metrics")
      return metrics:find("weir_schedule_runs_total{schedule", 1, true) and metrics
    end)
    assert.matches('\nweir_schedule_runs_total{schedule="digest",outcome="started"} %d', text)
    assert.matches('\nweir_schedule_lag_seconds{schedule="digest"} [%d.e-]+\n', text)
  end)
end)
