package components

// VaultAPIVersion is a version of Key Vault's control plane in Azure Resource Manager.
type VaultAPIVersion string

// Versions of Key Vault's control plane. Azure serves none before 2026-02-01 from 2027-02-27 on
// (https://learn.microsoft.com/azure/key-vault/general/migrate-api-version).
const (
	VaultAPI20241101 VaultAPIVersion = "2024-11-01"
	VaultAPI20260201 VaultAPIVersion = "2026-02-01"
)

// VaultSku is a vault's SKU.
type VaultSku string

// SKUs of a vault. Premium has hardware security modules.
const (
	VaultSkuStandard VaultSku = "standard"
	VaultSkuPremium  VaultSku = "premium"
)

// VaultCreateMode is how a vault is created.
type VaultCreateMode string

// Create modes of a vault. Recover restores a deleted vault.
const (
	VaultCreateDefault VaultCreateMode = "default"
	VaultCreateRecover VaultCreateMode = "recover"
)

// PublicNetworkAccess says whether a vault is reachable at its public address.
type PublicNetworkAccess string

// Values of PublicNetworkAccess.
const (
	PublicNetworkEnabled  PublicNetworkAccess = "Enabled"
	PublicNetworkDisabled PublicNetworkAccess = "Disabled"
)

// ExpiryEvent is an event of a vault's secrets, keys and certificates.
type ExpiryEvent string

// Events about expiry (https://learn.microsoft.com/azure/event-grid/event-schema-key-vault).
const (
	SecretNearExpiry      ExpiryEvent = "SecretNearExpiry"
	SecretExpired         ExpiryEvent = "SecretExpired"
	KeyNearExpiry         ExpiryEvent = "KeyNearExpiry"
	KeyExpired            ExpiryEvent = "KeyExpired"
	CertificateNearExpiry ExpiryEvent = "CertificateNearExpiry"
	CertificateExpired    ExpiryEvent = "CertificateExpired"
)

// PrincipalType is the type of a principal in Entra ID.
type PrincipalType string

// Types of principals.
const (
	PrincipalUser             PrincipalType = "User"
	PrincipalGroup            PrincipalType = "Group"
	PrincipalServicePrincipal PrincipalType = "ServicePrincipal"
)

// FirewallAction is what a vault's firewall does with traffic that no rule allows.
type FirewallAction string

// Actions of a vault's firewall.
const (
	FirewallAllow FirewallAction = "Allow"
	FirewallDeny  FirewallAction = "Deny"
)

// FirewallBypass is the traffic that bypasses a vault's firewall.
type FirewallBypass string

// Values of FirewallBypass. AzureServices are services that Microsoft trusts
// (https://learn.microsoft.com/azure/key-vault/general/network-security).
const (
	BypassAzureServices FirewallBypass = "AzureServices"
	BypassNone          FirewallBypass = "None"
)

// KeyType is the type of a key.
type KeyType string

// Types of keys. Those that end in HSM never leave a hardware security module.
const (
	KeyRSA    KeyType = "RSA"
	KeyEC     KeyType = "EC"
	KeyRSAHSM KeyType = "RSA-HSM"
	KeyECHSM  KeyType = "EC-HSM"
)

// KeyCurve is the curve of an EC key.
type KeyCurve string

// Curves of EC keys.
const (
	CurveP256 KeyCurve = "P-256"
	CurveP384 KeyCurve = "P-384"
	CurveP521 KeyCurve = "P-521"
)

// ClusterTier is the pricing tier of a cluster's control plane.
type ClusterTier string

// Tiers of a control plane (https://learn.microsoft.com/azure/aks/free-standard-pricing-tiers).
const (
	TierFree     ClusterTier = "Free"
	TierStandard ClusterTier = "Standard"
	TierPremium  ClusterTier = "Premium"
)

// UpgradeChannel is what AKS upgrades automatically.
type UpgradeChannel string

// Upgrade channels of a cluster (https://learn.microsoft.com/azure/aks/auto-upgrade-cluster).
const (
	UpgradeNone      UpgradeChannel = "none"
	UpgradePatch     UpgradeChannel = "patch"
	UpgradeStable    UpgradeChannel = "stable"
	UpgradeRapid     UpgradeChannel = "rapid"
	UpgradeNodeImage UpgradeChannel = "node-image"
)

// NodeOSUpgradeChannel is how nodes get security updates.
type NodeOSUpgradeChannel string

// Upgrade channels of nodes (https://learn.microsoft.com/azure/aks/auto-upgrade-node-os-image).
const (
	NodeOSNone          NodeOSUpgradeChannel = "None"
	NodeOSUnmanaged     NodeOSUpgradeChannel = "Unmanaged"
	NodeOSSecurityPatch NodeOSUpgradeChannel = "SecurityPatch"
	NodeOSNodeImage     NodeOSUpgradeChannel = "NodeImage"
)

// NetworkPolicy is what enforces NetworkPolicy objects.
type NetworkPolicy string

// Values of NetworkPolicy.
const (
	NetworkPolicyNone   NetworkPolicy = "none"
	NetworkPolicyAzure  NetworkPolicy = "azure"
	NetworkPolicyCilium NetworkPolicy = "cilium"
)

// OutboundType is how nodes reach the internet.
type OutboundType string

// Outbound types (https://learn.microsoft.com/azure/aks/egress-outboundtype).
const (
	OutboundLoadBalancer           OutboundType = "loadBalancer"
	OutboundUserDefinedRouting     OutboundType = "userDefinedRouting"
	OutboundManagedNATGateway      OutboundType = "managedNATGateway"
	OutboundUserAssignedNATGateway OutboundType = "userAssignedNATGateway"
)

// NodePoolMode is what a pool of nodes is for.
type NodePoolMode string

// Modes of a pool (https://learn.microsoft.com/azure/aks/use-system-pools).
const (
	NodePoolSystem NodePoolMode = "System"
	NodePoolUser   NodePoolMode = "User"
)

// OSSku is the operating system of a node.
type OSSku string

// Operating systems of nodes (https://learn.microsoft.com/azure/aks/concepts-clusters-workloads).
const (
	OSSkuUbuntu      OSSku = "Ubuntu"
	OSSkuAzureLinux  OSSku = "AzureLinux"
	OSSkuWindows2019 OSSku = "Windows2019"
	OSSkuWindows2022 OSSku = "Windows2022"
)

// OSDiskType is where a node's operating system disk is.
type OSDiskType string

// Types of operating system disks.
const (
	OSDiskManaged   OSDiskType = "Managed"
	OSDiskEphemeral OSDiskType = "Ephemeral"
)

// Weekday is a day of a maintenance window.
type Weekday string

// Days of a maintenance window.
const (
	Monday    Weekday = "Monday"
	Tuesday   Weekday = "Tuesday"
	Wednesday Weekday = "Wednesday"
	Thursday  Weekday = "Thursday"
	Friday    Weekday = "Friday"
	Saturday  Weekday = "Saturday"
	Sunday    Weekday = "Sunday"
)

// Login is how kubelogin gets a token (https://azure.github.io/kubelogin/concepts/login-modes.html).
type Login string

// Logins of kubelogin that need no interaction.
const (
	LoginAzureCLI         Login = "azurecli"
	LoginWorkloadIdentity Login = "workloadidentity"
	LoginServicePrincipal Login = "spn"
	LoginManagedIdentity  Login = "msi"
)

// PodSecurity is a Pod Security Standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
type PodSecurity string

// Pod Security Standards.
const (
	PodSecurityRestricted PodSecurity = "restricted"
	PodSecurityBaseline   PodSecurity = "baseline"
	PodSecurityPrivileged PodSecurity = "privileged"
)

// ObjectType is the type of an object in a vault.
type ObjectType string

// Types of objects.
const (
	ObjectSecret      ObjectType = "secret"
	ObjectKey         ObjectType = "key"
	ObjectCertificate ObjectType = "cert"
)

// ObjectFormat is how a certificate's secret is written.
type ObjectFormat string

// Formats of a certificate's secret.
const (
	FormatPEM ObjectFormat = "pem"
	FormatPFX ObjectFormat = "pfx"
)

// ObjectEncoding is the encoding that a secret's value is decoded from.
type ObjectEncoding string

// Encodings of a secret's value.
const (
	EncodingUTF8   ObjectEncoding = "utf-8"
	EncodingHex    ObjectEncoding = "hex"
	EncodingBase64 ObjectEncoding = "base64"
)

// Access is where an identity gets the roles that mounting requires.
type Access string

// Values of Access: on each mounted object, on the vault, or elsewhere.
const (
	AccessObject Access = "object"
	AccessVault  Access = "vault"
	AccessNone   Access = "none"
)

// Cloud is an Azure cloud, by its name in the Azure provider for the CSI driver.
type Cloud string

// Azure clouds.
const (
	AzurePublicCloud       Cloud = "AzurePublicCloud"
	AzureUSGovernmentCloud Cloud = "AzureUSGovernmentCloud"
	AzureChinaCloud        Cloud = "AzureChinaCloud"
)
