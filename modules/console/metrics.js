// metrics.js - reads the text format of Prometheus, as /metrics gives it.

function labelsOf(text) {
  const labels = {};
  for (const found of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
    labels[found[1]] = found[2].replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
  }
  return labels;
}

/** Families by name: {help, kind, samples: [{name, labels, value}]}. */
export function parse(text) {
  const families = new Map();
  const of = (name) => {
    if (!families.has(name)) families.set(name, { name, help: "", kind: "untyped", samples: [] });
    return families.get(name);
  };
  for (const line of text.split("\n")) {
    const about = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (about) {
      of(about[2])[about[1] === "HELP" ? "help" : "kind"] = about[3];
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!sample) continue;
    const base = families.has(sample[1]) ? sample[1] : sample[1].replace(/_(bucket|sum|count)$/, "");
    of(base).samples.push({ name: sample[1], labels: labelsOf(sample[2] ?? ""), value: Number(sample[3]) });
  }
  return families;
}

/** The value of a family with one sample, or undefined. */
export const value = (families, name) => families.get(name)?.samples[0]?.value;

/** The bound below which a share of a histogram's observations lies, or null. */
export function quantile(family, share) {
  const buckets = family.samples.filter((one) => one.name.endsWith("_bucket"));
  const sums = new Map();
  for (const one of buckets) sums.set(one.labels.le, (sums.get(one.labels.le) ?? 0) + one.value);
  const sorted = [...sums].map(([le, count]) => [le === "+Inf" ? Infinity : Number(le), count]).sort((a, b) => a[0] - b[0]);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  return sorted.find(([, count]) => count >= share * total)[0];
}
