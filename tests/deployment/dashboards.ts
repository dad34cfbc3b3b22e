// Written by test_dashboards.py as the type of each dashboard: Grafana's own, whose enumerations JSON has as strings.
import type { Dashboard } from '@grafana/schema';

type AsJson<T> = T extends string
  ? `${T}`
  : T extends number
    ? (`${T}` extends `${infer N extends number}` ? N : T)
    : T extends (infer Item)[]
      ? AsJson<Item>[]
      : T extends object
        ? { [Key in keyof T]: AsJson<T[Key]> }
        : T;

export type Written = AsJson<Dashboard>;
