local pagerank = require "weir.text.pagerank"
local similarity = require "weir.text.similarity"

local TEXTS = {
  { "river", "weir", "water" }, { "river", "water", "mill" }, { "mill", "stone" }, { "lake" },
  { "river", "weir", "water" },
}

local function cosines(keep)
  return similarity.links(similarity.vectors(TEXTS), { measure = similarity.cosine, threshold = 0.05, keep = keep })
end

describe("text.similarity", function()
  it("links texts that share terms, both ways, and no others", function()
    local links = cosines(10)
    assert.same({}, links[4])
    for i, list in ipairs(links) do
      for _, link in ipairs(list) do
        local back = false
        for _, other in ipairs(links[link[1]]) do back = back or other[1] == i and other[2] == link[2] end
        assert.is_true(back)
      end
    end
  end)

  it("gives equal texts a cosine of one, nearest first", function()
    local links = cosines(10)
    assert.equal(5, links[1][1][1])
    assert.is_true(math.abs(links[1][1][2] - 1) < 1e-9)
    assert.equal(2, links[1][2][1])
  end)

  it("agrees with the plain product of vectors", function()
    local vectors = similarity.vectors(TEXTS)
    local function product(a, b)
      local sum = 0
      for i, id in ipairs(a.ids) do
        for j, other in ipairs(b.ids) do
          if id == other then sum = sum + a.weights[i] * b.weights[j] end
        end
      end
      return sum
    end
    for i, list in ipairs(cosines(10)) do
      for _, link in ipairs(list) do
        local expected = product(vectors[i], vectors[link[1]]) / (vectors[i].length * vectors[link[1]].length)
        assert.is_true(math.abs(expected - link[2]) < 1e-9)
      end
    end
  end)

  it("keeps the nearest neighbours only", function()
    local texts = {}
    for i = 1, 50 do texts[i] = { "same", "word" .. i } end
    local links = similarity.links(similarity.vectors(texts), { measure = similarity.cosine, threshold = 0, keep = 3 })
    for i = 4, 50 do assert.equal(3, #links[i]) end
  end)

  it("gives back a link that only one side kept", function()
    local texts = { { "hub" }, { "hub", "a" }, { "hub", "b" }, { "hub", "c" } }
    local links = similarity.links(similarity.vectors(texts), { measure = similarity.cosine, threshold = 0, keep = 1 })
    assert.equal(3, #links[1])
    for i = 2, 4 do assert.equal(1, links[i][1][1]) end
  end)

  it("calls pause between texts", function()
    local n = 0
    similarity.links(similarity.vectors(TEXTS), { measure = similarity.cosine, threshold = 0, keep = 1,
      pause = function() n = n + 1 end })
    assert.equal(#TEXTS, n)
  end)

  it("finds the first remembered set that another resembles", function()
    local seen = similarity.seen(0.5)
    assert.is_nil(seen:alike({ "a", "b" }))
    seen:add({ "a", "b", "c" })
    seen:add({ "x", "y" })
    assert.equal(1, seen:alike({ "a", "b" }))
    assert.equal(2, seen:alike({ "y", "x", "x" }))
    assert.is_nil(seen:alike({ "a", "x", "q" }))
    assert.is_nil(seen:alike({}))
  end)

  it("finds whatever a comparison with each remembered set finds", function()
    local seed = 9
    local function draw(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed // 16 % n + 1
    end
    local function jaccard(a, b)
      local all, shared, n = {}, 0, 0
      for _, term in ipairs(a) do all[term] = 1 end
      for _, term in ipairs(b) do all[term] = (all[term] or 0) | 2 end
      for _, sides in pairs(all) do
        n = n + 1
        if sides == 3 then shared = shared + 1 end
      end
      return n > 0 and shared / n or 0
    end
    for _, limit in ipairs({ 0.2, 0.5, 0.6, 0.75, 1 }) do
      local seen, sets, hits = similarity.seen(limit, { t1 = 9, t2 = 5 }), {}, 0
      for _ = 1, 150 do
        local terms, expected = {}, nil
        for index = 1, draw(6) do terms[index] = "t" .. draw(7) end
        for which = #sets, 1, -1 do
          if jaccard(terms, sets[which]) >= limit - 1e-9 then expected = which end
        end
        assert.equal(expected, seen:alike(terms))
        if expected then hits = hits + 1 else sets[seen:add(terms)] = terms end
      end
      assert.is_true(hits > 10)
    end
  end)
end)

describe("text.pagerank", function()
  it("ranks the centre of a star highest and keeps the average at one", function()
    local ranks = pagerank.rank({ { { 2, 1 }, { 3, 1 }, { 4, 1 } }, { { 1, 1 } }, { { 1, 1 } }, { { 1, 1 } } })
    assert.is_true(ranks[1] > ranks[2])
    assert.equal(ranks[2], ranks[3])
    assert.is_true(math.abs(ranks[1] + ranks[2] + ranks[3] + ranks[4] - 4) < 1e-3)
  end)

  it("follows the heavier link", function()
    local ranks = pagerank.rank({ { { 2, 9 }, { 3, 1 } }, { { 1, 9 } }, { { 1, 1 } } })
    assert.is_true(ranks[2] > ranks[3])
  end)

  it("gives a node without links what is left to it", function()
    assert.is_true(math.abs(pagerank.rank({ {} })[1] - 0.15) < 1e-9)
    assert.same({}, pagerank.rank({}))
  end)
end)
