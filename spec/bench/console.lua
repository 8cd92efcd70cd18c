-- The console in a browser, over a store of `size` runs. Floors: the first paint of a page that is one line of text, and one
-- request of the page. Where there is no browser (spec/console/browser.lua) nothing is measured.

local browser = dofile "spec/console/browser.lua"
local json = require "weir.native.json"
local serve = require "weir.serve"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "hello" { weir.step "greet" { agent = "echo", input = { text = "hello" } } }
]]

local console = {
  figures = { { name = "console, first paint", unit = "s", cost = "each", goal_value = 0.2 },
    { name = "console, from a run's start to its row", unit = "s", cost = "each", goal_value = 0.05 } },
  sizes = { 10, 100, 1000 }, once = true,
}

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

function console.prepare(bench, size)
  local folder = bench:folder()
  assert(os.execute(("mkdir -p '%s/pipelines' '%s/modules' && chmod 700 '%s'"):format(folder, folder, folder)))
  write(folder .. "/pipelines/hello.lua", PIPELINE)
  local host = serve.start { folder = folder, listen = "127.0.0.1:0", log = "error", env = function() end }
  table.insert(bench.open, { close = function() host:stop "the benchmark is over" end })
  local definition = assert(host.project:pipeline "hello")
  for _ = 1, size do host.engine:run(definition, {}) end
  local measured
  return {
    weir = function()
      local done = browser.run("measure.mjs", { ("%s/#token=%s"):format(host.url, host.http.token), "5" }, 240)
      if done.status ~= 0 then error("the browser failed: " .. done.stderr, 0) end
      measured = json.decode(done.stdout)
      return measured.paint, measured.event
    end,
    floor = function() return measured.bare_paint, measured.request end,
  }
end

if browser.missing() then return {} end
return { console }
