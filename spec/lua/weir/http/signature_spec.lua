local digest = require "weir.native.digest"
local signature = require "weir.http.signature"

local SLACK = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
  .. "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
  .. "%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"

-- Test 81. What the senders publish as examples of their signatures: Standard Webhooks in its specification, GitHub and
-- Slack in their guides. Stripe publishes no signature together with its secret: of Stripe it is what OpenSSL's command
-- line gives for an event of theirs, an implementation of HMAC that is not this one.
local VECTORS = {
  standard = { given = { scheme = "standard", secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }, now = 1614265330,
    headers = { ["webhook-id"] = "msg_p5jXN8AQM9LWM0D4loKWxJek", ["webhook-timestamp"] = "1614265330",
      ["webhook-signature"] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" },
    body = '{"test": 2432232314}', id = "msg_p5jXN8AQM9LWM0D4loKWxJek" },
  github = { given = { scheme = "github", secret = "It's a Secret to Everybody" }, now = 1700000000,
    headers = { ["x-hub-signature-256"] = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
      ["x-github-delivery"] = "72d3162e-cc78-11e3-81ab-4c9367dc0958", ["x-github-event"] = "push" },
    body = "Hello, World!", id = "72d3162e-cc78-11e3-81ab-4c9367dc0958", type = "push",
    unsigned = { ["x-github-delivery"] = true, ["x-github-event"] = true } },
  stripe = { given = { scheme = "stripe", secret = "whsec_test_secret" }, now = 1492774577,
    headers = { ["stripe-signature"] = "t=1492774577,v1=c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812" },
    body = '{\n  "id": "evt_test_webhook",\n  "object": "event"\n}', id = "evt_test_webhook" },
  slack = { given = { scheme = "slack", secret = "8f742231b10e8888abcd99yyyzzz85a5" }, now = 1531420618,
    headers = { ["x-slack-signature"] = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
      ["x-slack-request-timestamp"] = "1531420618" }, body = SLACK, id = digest.sha256("v0:1531420618:" .. SLACK) },
}

local function of_table(headers)
  return function(name)
    local value = headers[name]
    if type(value) == "table" then return value[1], #value end
    return value, value and 1
  end
end

local function verify(vector, headers, body, now)
  return signature.verify(signature.new(vector.given, "hook"), of_table(headers or vector.headers), body or vector.body, now or vector.now)
end

local function copy(headers)
  local own = {}
  for name, value in pairs(headers) do own[name] = value end
  return own
end

-- A text with one byte changed, left out, doubled or put in.
local function mutated(text, draw)
  local at = draw(1, #text)
  local kind = draw(1, 4)
  local char = text:sub(at, at)
  if kind == 1 then return text:sub(1, at - 1) .. string.char((char:byte() + draw(1, 94)) % 256) .. text:sub(at + 1) end
  if kind == 2 then return text:sub(1, at - 1) .. text:sub(at + 1) end
  if kind == 3 then return text:sub(1, at) .. char .. text:sub(at + 1) end
  return text:sub(1, at) .. string.char(draw(33, 126)) .. text:sub(at + 1)
end

describe("signatures of webhooks", function()
  for name, vector in pairs(VECTORS) do
    it(("accepts the example of %s"):format(name), function()
      local delivery, why = verify(vector)
      assert.is_nil(why)
      assert.equal(vector.id, delivery.id)
      assert.equal(vector.type, delivery.type)
    end)

    it(("refuses a thousand mutations of the example of %s"):format(name), function()
      local state = 88172645463325252
      local function draw(low, high)
        state = state ~ (state << 13)
        state = state ~ (state >> 7)
        state = state ~ (state << 17)
        return low + (state & 0x7fffffff) % (high - low + 1)
      end
      local names = {}
      for header in pairs(vector.headers) do
        if not (vector.unsigned or {})[header] then names[#names + 1] = header end
      end
      table.sort(names)
      local refused = 0
      while refused < 1000 do
        local headers, body = copy(vector.headers), vector.body
        local which = draw(0, #names)
        if which == 0 then body = mutated(body, draw) else headers[names[which]] = mutated(headers[names[which]], draw) end
        local is_same = body == vector.body
        for header, value in pairs(headers) do is_same = is_same and value == vector.headers[header] end
        if not is_same then
          local delivery = verify(vector, headers, body)
          assert.is_nil(delivery, name .. ": " .. (names[which] and headers[names[which]] or body))
          refused = refused + 1
        end
      end
    end)

    it(("refuses the example of %s with any one byte of a header changed, left out, doubled or put in"):format(name), function()
      local tried = 0
      local function refuses(header, text)
        local headers = copy(vector.headers)
        headers[header] = text
        tried = tried + 1
        if text ~= vector.headers[header] then assert.is_nil(verify(vector, headers), text) end
      end
      for header, text in pairs(vector.headers) do
        if not (vector.unsigned or {})[header] then
          for at = 1, #text do
            local before, char, after = text:sub(1, at - 1), text:sub(at, at), text:sub(at + 1)
            refuses(header, before .. after)
            refuses(header, before .. char .. char .. after)
            for byte = 33, 126 do
              refuses(header, before .. string.char(byte) .. after)
              refuses(header, before .. string.char(byte) .. char .. after)
            end
          end
        end
      end
      assert.is_true(tried > 1000)
    end)

    it(("refuses a delivery of %s without one of its headers, or with one twice"):format(name), function()
      for header in pairs(vector.headers) do
        if header ~= "x-github-event" then
          local without, twice = copy(vector.headers), copy(vector.headers)
          without[header], twice[header] = nil, { vector.headers[header], vector.headers[header] }
          assert.is_nil((verify(vector, without)))
          assert.is_nil((verify(vector, twice)))
        end
      end
    end)

    it(("takes the other secret of %s while one replaces the other, and not a third"):format(name), function()
      local given = copy(vector.given)
      given.secret = { "another", vector.given.secret }
      assert.truthy(verify({ given = given, headers = vector.headers, body = vector.body, now = vector.now }))
      given.secret = "another"
      assert.is_nil((verify({ given = given, headers = vector.headers, body = vector.body, now = vector.now })))
      given.secret = { "a", "b", "c" }
      assert.is_false((pcall(signature.new, given, "hook")))
    end)
  end

  for _, name in ipairs { "standard", "stripe", "slack" } do
    it(("takes what %s signed up to 300 s before or after, and nothing older or newer"):format(name), function()
      local vector = VECTORS[name]
      for seconds, fits in pairs { [299] = true, [-299] = true, [300] = true, [301] = false, [-301] = false, [86400] = false } do
        local delivery, why = verify(vector, nil, nil, vector.now + seconds)
        assert.equal(fits, delivery ~= nil, tostring(seconds))
        if not fits then assert.matches("300 are allowed", why) end
      end
    end)
  end

  it("takes one of several signatures in a header, and none that is of another version", function()
    local vector = VECTORS.standard
    local good = vector.headers["webhook-signature"]
    local headers = copy(vector.headers)
    headers["webhook-signature"] = "v1a,AAAA v1,AAAA " .. good
    assert.truthy(verify(vector, headers))
    headers["webhook-signature"] = good:gsub("^v1,", "v1a,")
    assert.is_nil((verify(vector, headers)))
    headers["webhook-signature"] = ("v1,AAAA "):rep(20) .. good
    assert.is_nil((verify(vector, headers)))
  end)

  it("knows a sender of one's own", function()
    local body = "payload"
    local given = { scheme = "generic", secret = "s", header = "X-Sign", prefix = "hmac ", encoding = "base64", id_header = "X-Id",
      timestamp_header = "X-At" }
    local text = digest.to_base64(digest.hmac_sha256("s", "100." .. body, "raw"))
    local headers = { ["x-sign"] = "hmac " .. text, ["x-id"] = "7", ["x-at"] = "100" }
    assert.equal("7", verify({ given = given, headers = headers, body = body, now = 100 }).id)
    headers["x-at"] = "101"
    assert.is_nil((verify({ given = given, headers = headers, body = body, now = 100 })))
    local plain = { scheme = "generic", secret = "s" }
    local signed = { ["x-signature-256"] = digest.hmac_sha256("s", body) }
    assert.equal(digest.sha256(body), verify({ given = plain, headers = signed, body = body, now = 100 }).id)
  end)

  it("refuses to begin without a secret, with a scheme it does not know, with a variable that is not set", function()
    for _, given in ipairs { { scheme = "github" }, { scheme = "md5", secret = "x" }, { scheme = "github", secret = "" },
      { scheme = "github", secret = "env:WEIR_SPEC_NO_SUCH_VARIABLE" }, { scheme = "standard", secret = "whsec_%%%" } } do
      local ok, err = pcall(signature.new, given, "hook 'x'")
      assert.is_false(ok)
      assert.matches("hook 'x'", err.message)
    end
  end)
end)
