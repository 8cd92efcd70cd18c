-- Test 75: a process that does not keep to what was agreed.
local paths = require "weir.paths"
local sandbox = require "weir.sandbox"
local store = require "weir.port.store"
local uv = require "luv"

local function frame(value)
  local bytes = store.encode(value)
  return ("<I4"):pack(#bytes) .. bytes
end

local function octal(bytes)
  return (bytes:gsub(".", function(char) return ("\\%03o"):format(char:byte()) end))
end

--- What `sandbox.run` makes of a process that says `bytes` and then runs `rest`, a line of shell.
local function hear(bytes, rest, limits, grants)
  local natives, folder = paths.natives, assert(uv.fs_mkdtemp "/tmp/weir-sandbox-XXXXXX")
  local file = assert(io.open(folder .. "/weir_sandbox", "wb"))
  file:write("#!/bin/sh\nprintf '", octal(bytes), "'\n", rest or "", "\n")
  file:close()
  uv.fs_chmod(folder .. "/weir_sandbox", tonumber("700", 8))
  paths.natives = folder
  local ok, result, message, code = pcall(sandbox.run, { name = "liar", source = "return {}", limits = limits, grants = grants })
  paths.natives = natives
  uv.fs_unlink(folder .. "/weir_sandbox")
  uv.fs_rmdir(folder)
  if not ok then error(result, 0) end
  return result, message, code
end

local READY = frame { "ready", 7, 36 }

describe("a process that is no sandbox", function()
  it("is heard when it keeps to the protocol", function()
    assert.equal(5, assert(hear(READY .. frame { "done", 5 })).output)
    assert.equal(5, assert(hear(READY .. frame { "done", 5 }, "sleep 100")).output)
  end)

  it("is refused before it has shown that it is held in", function()
    assert.equal("denied", select(3, hear(frame { "done", 5 })))
    assert.equal("denied", select(3, hear(frame { "call", "granted", 1 })))
  end)

  it("is stopped at a frame of more than 1 MiB, without waiting for it", function()
    local _, message, code = hear(READY .. ("<I4"):pack((1 << 20) + 1), "sleep 100")
    assert.equal("limit", code)
    assert.match("a frame of 1048577 bytes", message, 1, true)
    assert.equal("limit", select(3, hear("\xff\xff\xff\xff", "sleep 100")))
  end)

  it("is stopped at 10 MiB in all", function()
    local line = octal(frame { "log", "info", ("x"):rep(1000) })
    local _, message, code = hear(READY, ("while :; do printf '%s'; done"):format(line:rep(20)))
    assert.equal("limit", code)
    assert.match("more than 10485760 bytes", message, 1, true)
  end)

  it("is stopped when it is slow", function()
    local _, _, code = hear(READY, "while :; do printf '\\000'; sleep 0.2; done", { seconds = 1.5 })
    assert.is_true(code == "timeout" or code == "corrupt", code)
    assert.equal("timeout", select(3, hear("\x20", "sleep 100", { seconds = 0.5 })))
    assert.equal("timeout", select(3, hear("", "sleep 100", { seconds = 0.5 })))
  end)

  it("is refused what cannot be read", function()
    for _, bytes in ipairs { "\1\0\0\0\xc1", "\0\0\0\0", "\4\0\0\0\xdd\xff\xff\xff", "\1\0\0\0\x05", "\2\0\0\0\x91\x05", ("<I4"):pack(3) .. "\xc7\0\1" } do
      assert.equal("corrupt", select(3, hear(READY .. bytes, "sleep 100")))
      assert.equal("corrupt", select(3, hear(bytes, "sleep 100")))
    end
    assert.equal("corrupt", select(3, hear(READY .. frame { "nonsense", 1 }, "sleep 100")))
  end)

  it("is told from an answer when it closes early", function()
    for _, bytes in ipairs { "", "\1", READY, READY .. "\5\0\0\0abc", READY .. frame { "log", "info", "x" } } do
      local _, message, code = hear(bytes)
      assert.equal("failed", code)
      assert.match("without an answer", message, 1, true)
    end
  end)

  it("is reported with the signal that ended it", function()
    assert.match("segmentation fault", select(2, hear(READY, "kill -11 $$")), 1, true)
    assert.equal("denied", select(3, hear(READY, "kill -31 $$")))
    assert.equal("limit", select(3, hear(READY, "kill -24 $$")))
    assert.equal("limit", select(3, hear(READY, "exit 70")))
  end)

  it("is refused what was not granted, and cannot make the host raise", function()
    local got
    assert.equal(1, assert(hear(READY .. frame { "call", "other", 1 } .. frame { "call", ("x"):rep(300), 1 } .. frame { "call", "granted", 7 }
      .. frame { "done", 1 }, nil, nil, { granted = function(argument) got = argument error { code = "boom" } end })).output)
    assert.equal(7, got)
    assert.equal(1, assert(hear(READY .. frame { "log" } .. frame { "item" } .. frame { "call" } .. frame { "log", {}, {} }
      .. frame { "done", 1 })).output)
    assert.equal("failed", select(3, hear(READY .. frame { "failed" })))
    assert.equal("failed", select(3, hear(READY .. frame { "failed", "cancelled", "x" })))
  end)

  it("is heard alike whatever bytes it flips", function()
    math.randomseed(7)
    local whole = READY .. frame { "log", "info", "hello" } .. frame { "done", { a = { 1, 2, 3 } } }
    for _ = 1, 40 do
      local at = math.random(#whole)
      local bytes = whole:sub(1, at - 1) .. string.char(math.random(0, 255)) .. whole:sub(at + 1)
      local result, message, code = hear(bytes)
      assert.is_true(result ~= nil or (type(message) == "string" and type(code) == "string"))
    end
  end)
end)
