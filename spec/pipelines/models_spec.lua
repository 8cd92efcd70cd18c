local files = require "weir.port.files"
local model_server = dofile "spec/model_server.lua"
local process = require "weir.port.process"
local testing = require "weir.testing"

local LOCAL = { ["local/lead"] = true, ["local/sumbasic"] = true, ["local/textrank"] = true }

-- Sections whose first sentences say nothing of what the rest is about.
local function document(count)
  local parts = { "# A log\n\n" }
  for n = 1, count do
    parts[#parts + 1] = ("## Day %d\n\nIt was a day like any other day before it, and so it went on. Nobody had much to say about it then. "
      .. "The harbour of port %d was closed by ice. Fishermen of port %d broke the ice with hammers. The ice of the harbour was thick. "
      .. "Herring, barrels and salt were brought over the frozen causeway by sledges. The pilot counted lanterns, anchors and ropes in "
      .. "the warehouse. A schooner lost her rudder at the lighthouse.\n\n"):format(n, n, n)
  end
  return table.concat(parts)
end

describe("pipeline models", function()
  local folder, server
  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/log.md", document(30)))
  end)
  after_each(function()
    if server then server.close() end
    server = nil
    process.run { "rm", "-rf", "--", folder }
  end)

  local function run(models, seed)
    local of = testing.run("pipelines/models.lua", { input = { path = folder .. "/log.md", out = folder .. "/gists.md" }, seed = seed or 1,
      modules = { ["agents/markdown_sections"] = { roots = { folder } }, ["agents/files"] = { roots = { folder } } }, settings = { models = models } })
    assert.equal("finished", of.status, of.error and of.error.message)
    local asked, order = {}, {}
    for _, event in ipairs(of.events) do
      if event.kind == "model" and event.outcome == "ok" then
        asked[event.model] = (asked[event.model] or 0) + 1
        order[#order + 1] = event.model
      end
    end
    assert.is_true(#assert(files.read(folder .. "/gists.md")) > 30 * 20)
    return of, asked, order
  end

  local function remote(answer)
    local dialect = model_server.dialects.openai
    server = model_server.serve(function(request, reply) answer(request, reply, dialect.wire) end)
    return { remote = { use = "openai", options = { url = server.url .. dialect.base, model = "m", secret = "" } } }
  end

  it("asks three local models where no other is set up, and every section is done", function()
    local _, asked = run(nil, 1)
    for name in pairs(asked) do assert.is_true(LOCAL[name], name) end
    assert.same({ true, true, true }, { asked["local/lead"] ~= nil, asked["local/sumbasic"] ~= nil, asked["local/textrank"] ~= nil })
  end)

  it("asks most whoever was measured to do it best", function()
    for seed = 1, 5 do
      local _, asked = run(nil, seed)
      local others = (asked["local/sumbasic"] or 0) + (asked["local/textrank"] or 0)
      assert.is_true(others > 2 * asked["local/lead"], ("seed %d: lead %d of 30"):format(seed, asked["local/lead"]))
    end
  end)

  it("asks a remote model as well where one is set up, and most when it does best", function()
    local _, asked, order = run(remote(function(request, reply, wire)
      local text = request.body.messages[#request.body.messages].content
      reply:begin(wire.content_type)
      reply:chunk(wire.text((text:gsub("^.-:\n\n", ""))))
      reply:chunk(wire.finish "stop")
      reply:chunk(wire.done)
      reply:finish()
    end))
    assert.equal(asked.remote, #server.requests)
    assert.is_true(asked.remote > 15, ("%d of 30"):format(asked.remote or 0))
    assert.equal("remote", order[#order])
  end)

  it("goes on with the local ones when the remote one fails", function()
    local _, asked = run(remote(function(_, reply, wire)
      reply:json(404, wire.error("invalid_request_error", "no such model", "model_not_found"))
    end))
    assert.is_nil(asked.remote)
    assert.is_true(#server.requests >= 1)
    assert.is_true(#server.requests < 15, #server.requests) -- it is measured to fail
  end)

  it("is refused where none of its models is there", function()
    local weir = require "weir"
    local of = testing.run(weir.pipeline "none" { weir.step "x" { agent = "ask", model = { candidates = { "far?", "near?" } },
      input = { prompt = "x" } } })
    assert.same({ "failed", "not_found" }, { of.status, of.error.code })
    assert.matches("none of the models far%?, near%? is there", of.error.message)
  end)
end)
