// Holds custom resources against the models of their definitions: `validate` sees wrong and missing values, and the
// compiler of TypeScript sees fields that no model knows, which `validate` lets pass.
//
//     node custom_resources.mjs NODE_MODULES < objects.json
//
// prints a JSON list of findings, each "Kind/name: what is wrong".
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const modules = process.argv[2];
const ts = createRequire(join(modules, "here.js"))("typescript");

const MODELS = {
  ServiceMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
  PodMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  PrometheusRule: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  Gateway: "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/Gateway",
  HTTPRoute: "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
  ScaledObject: "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
  TLSOption: "@kubernetes-models/traefik/traefik.io/v1alpha1/TLSOption",
};

// Nobody publishes models of these two: the part of their definitions that is used here, read in their documentation.
const OWN = `
interface Metadata { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
interface IVerticalPodAutoscaler {
  apiVersion: "autoscaling.k8s.io/v1"; kind: "VerticalPodAutoscaler"; metadata: Metadata;
  spec: {
    targetRef: { apiVersion: string; kind: string; name: string };
    updatePolicy?: { updateMode?: "Off" | "Initial" | "Recreate" | "InPlaceOrRecreate"; minReplicas?: number };
    resourcePolicy?: { containerPolicies?: Array<{
      containerName?: string; mode?: "Auto" | "Off"; controlledResources?: Array<"cpu" | "memory">;
      controlledValues?: "RequestsAndLimits" | "RequestsOnly";
      minAllowed?: Record<string, string>; maxAllowed?: Record<string, string>;
    }> };
  };
}
interface IClientTrafficPolicy {
  apiVersion: "gateway.envoyproxy.io/v1alpha1"; kind: "ClientTrafficPolicy"; metadata: Metadata;
  spec: {
    targetRefs: Array<{ group: "gateway.networking.k8s.io"; kind: "Gateway"; name: string; sectionName?: string }>;
    tls?: { minVersion?: "Auto" | "1.0" | "1.1" | "1.2" | "1.3"; maxVersion?: "Auto" | "1.0" | "1.1" | "1.2" | "1.3" };
  };
}
`;
const OWN_KINDS = ["VerticalPodAutoscaler", "ClientTrafficPolicy"];

const named = (object) => `${object.kind}/${object.metadata?.name}`;

async function valueFindings(object) {
  const { [object.kind]: Model } = await import(pathToFileURL(join(modules, `${MODELS[object.kind]}.js`)));
  try {
    new Model(object).validate();
    return [];
  } catch (error) {
    return [`${named(object)}: ${error.message}`];
  }
}

// One file of declarations: the compiler looks for unknown fields in object literals, however deep.
function fieldFindings(objects) {
  const kinds = [...new Set(objects.map((object) => object.kind))].filter((kind) => MODELS[kind]);
  const lines = kinds.map((kind) => `import type { I${kind} } from "${MODELS[kind]}";`).concat(OWN.split("\n"));
  const starts = objects.map((object) => {
    lines.push(`export const one: I${object.kind} = ${JSON.stringify(object)};`.replace("one", `o${lines.length}`));
    return lines.length - 1;
  });
  const file = join(modules, "..", "objects.ts");
  const options = {
    strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, lines.join("\n"), ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ");
    const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start).line;
    const object = objects[starts.indexOf(line)];
    return `${object ? named(object) : diagnostic.file?.fileName}: ${text}`;
  });
}

const objects = JSON.parse(readFileSync(0, "utf8"));
const unknown = objects.filter(({ kind }) => !MODELS[kind] && !OWN_KINDS.includes(kind));
const known = objects.filter((object) => !unknown.includes(object));
const values = await Promise.all(known.filter(({ kind }) => MODELS[kind]).map(valueFindings));
console.log(JSON.stringify([
  ...unknown.map((object) => `${named(object)}: no model of this kind is known here`),
  ...values.flat(),
  ...fieldFindings(known),
]));
